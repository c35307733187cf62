"""A search through Ray Tune: with one worker the trials of a local one; Tune itself keeps nothing."""

import pickle
import shutil
from types import SimpleNamespace

import optuna
import pytest
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from harness.executors.searcher import FeedScheduler, FeedSearcher
from small import sets

SPACE = """
[parameters]
"student_loss.mhad.weight" = { low = 0.0, high = 100.0, step = 1.0 }
"""


class Feed:
    """Two cells."""

    def __init__(self):
        self.cells, self.ended = ["a", "b"], []

    def next_cell(self):
        return self.cells.pop(0) if self.cells else None

    def report(self, cell_id, record):
        return record["epoch"] == 3

    def done(self, cell_id):
        self.ended.append(cell_id)


def test_tune_is_given_cells_and_the_feed_is_told_of_their_ends():
    feed, seen = Feed(), []
    searcher = FeedSearcher(feed, seen.append)
    assert [searcher.suggest(trial) for trial in ("1", "2", "3")] == [{"cell": "a"}, {"cell": "b"}, Searcher.FINISHED]
    searcher.on_trial_complete("2", error=True)
    searcher.on_trial_complete("unknown")
    assert (seen, feed.ended) == (["b"], ["b"])
    copy = pickle.loads(pickle.dumps(searcher))  # as Tune does for a restore that never comes
    assert copy.suggest("4") == Searcher.FINISHED


def test_tune_stops_a_trial_where_the_feed_says_so():
    scheduler, trial = FeedScheduler(Feed()), SimpleNamespace(config={"cell": "a"})
    words = [scheduler.on_trial_result(None, trial, {"epoch": epoch}) for epoch in (1, 3)]
    assert words == [TrialScheduler.CONTINUE, TrialScheduler.STOP]
    assert scheduler.stopped == {"a"}
    copy = pickle.loads(pickle.dumps(scheduler))
    assert copy.on_trial_result(None, trial, {"epoch": 3}) == TrialScheduler.CONTINUE


def values(store):
    (path,) = (store / "studies").glob("*/journal.log")
    backend = optuna.storages.journal.JournalFileBackend(str(path))
    (study,) = optuna.study.get_all_study_summaries(optuna.storages.JournalStorage(backend))
    return [
        (trial.params, trial.values, trial.state, trial.intermediate_values)
        for trial in optuna.load_study(
            study_name=study.study_name, storage=optuna.storages.JournalStorage(backend)
        ).trials
    ]


@pytest.mark.usefixtures("ray_session")
def test_a_search_through_ray(run, store, tmp_path, teacher_store):
    (tmp_path / "one.toml").write_text(SPACE)
    local = shutil.copytree(teacher_store, tmp_path / "local")
    common = [str(tmp_path / "one.toml"), "--budget", "smoke", "--objectives", "agreement", *sets()]
    for root, executor in ((store, "ray"), (local, "local")):
        status, output, _ = run(
            "search", *common, "--trials", "4", "--workers", "1", "--store", str(root), "--executor", executor
        )
        assert (status, "4 trials: " in output) == (0, True), output
    assert values(store) == values(local)
    status, output, _ = run("search", *common, "--trials", "8", "--store", str(store))
    assert (status, "8 trials: " in output) == (0, True), output
    assert values(store)[:4] == values(local)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_runs_are_stopped_early_through_ray(run, store, tmp_path, teacher_store):
    (tmp_path / "one.toml").write_text(
        '[parameters]\n"student.learning_rate" = { low = 1e-4, high = 1.0, log = true }\n'
    )
    local = shutil.copytree(teacher_store, tmp_path / "local")
    settings = sets("schedule.epochs=3", "schedule.iterations_per_epoch=2")
    common = [str(tmp_path / "one.toml"), "--budget", "smoke", "--objectives", "agreement", *settings]
    for root, executor in ((store, "ray"), (local, "local")):
        status, output, _ = run(
            *("search", *common, "--trials", "5", "--asha", "--workers", "1"),
            *("--store", str(root), "--executor", executor),
        )
        assert (status, "stopped early" in output) == (0, True), output
        states = list((root / "cells").glob("*/state.pt"))
        failed = list((root / "cells").glob("*/failure.json"))  # a rate may be too high
        assert len(states) - len(failed) == output.count("stopped after epoch")
    assert values(store) == values(local)
