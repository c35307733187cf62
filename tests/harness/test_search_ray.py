"""A search through Ray Tune: with one worker the trials of a local one; Tune itself keeps nothing."""

import pickle
import shutil

import optuna
import pytest
from ray.tune.search import Searcher

from harness.executors.searcher import FeedSearcher
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


def values(store):
    (path,) = (store / "studies").glob("*/journal.log")
    backend = optuna.storages.journal.JournalFileBackend(str(path))
    (study,) = optuna.study.get_all_study_summaries(optuna.storages.JournalStorage(backend))
    return [
        (trial.params, trial.values)
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
