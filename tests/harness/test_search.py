"""A search: what it suggests, what enters its study, and that neither a kill nor a new range loses anything."""

import json
import math
import os
import signal
import subprocess
import sys
import time

import optuna
import pytest
from filelock import FileLock
from optuna.trial import TrialState

import harness.search.study
from dfkd.errors import ConfigError
from dfkd.overrides import with_overrides
from harness.cells import prepare_cell
from harness.search.conclude import best_trials
from harness.search.known import known_cells, seed_noise
from harness.search.loop import Limits, Search
from harness.search.objectives import OBJECTIVES, parse_objectives
from harness.search.study import open_study
from harness.search.suggest import NAMES
from harness.store import StoreError
from searching import BETA, GAMMA, ORDERS, Bench, Killed, bowl, finish

ACCURACY = (OBJECTIVES["accuracy"],)
COMPLETE, FAIL, RUNNING = TrialState.COMPLETE, TrialState.FAIL, TrialState.RUNNING


@pytest.fixture
def bench(tmp_path):
    """A search over two weights and, where the first is positive, the orders."""
    return Bench(tmp_path / "runs")


def points(trials):
    return [trial.params for trial in trials]


def states(trials):
    return [trial.state for trial in trials]


def own(trials):
    return [trial for trial in trials if trial.user_attrs["origin"] == "suggested"]


class TestSuggestions:
    def test_the_first_trial_is_the_configuration_as_it_is(self, bench):
        assert bench.run(1)[0].params == {BETA: 10.0, GAMMA: 8.0, ORDERS: "1+2+3"}

    def test_a_known_optimum_is_found(self, bench):
        trials = bench.run(40)
        assert max(trial.value for trial in trials) > 0.98

    @pytest.mark.parametrize("sampler", NAMES)
    def test_every_suggestion_lies_in_the_space_and_none_depends_on_a_kill(self, tmp_path, sampler):
        whole, broken = Bench(tmp_path / "whole", sampler=sampler), Bench(tmp_path / "broken", sampler=sampler)
        trials = whole.run(20)
        assert all(whole.points.space.fits(trial.params) for trial in trials)
        assert len({json.dumps(trial.params) for trial in trials}) > 15
        for kill in ({"kill_before": 0}, {"kill_after": 3}, {"kill_before": 8}, {"kill_after": 1}):
            with pytest.raises(Killed):
                broken.run(20, **kill)
        assert points(broken.run(20)) == points(trials)

    def test_another_seed_suggests_other_points(self, tmp_path):
        one, other = (Bench(tmp_path / str(seed), seed=seed).run(3) for seed in (0, 1))
        assert points(one)[0] == points(other)[0]
        assert points(one)[1] != points(other)[1]


class TestWhatEnters:
    def test_a_failed_cell_is_no_value_and_its_point_is_not_run_again(self, bench):
        def fails(config):
            raise RuntimeError("CUDA out of memory")

        trials = bench.run(1, value=fails)
        assert states(trials) == [FAIL]
        assert trials[0].values is None
        assert trials[0].user_attrs["failure"] == "RuntimeError: CUDA out of memory"

    @pytest.mark.parametrize("wrong", [math.nan, math.inf, None])
    def test_nan_infinity_and_what_was_not_measured_are_no_values(self, bench, wrong):
        trials = bench.run(3, value=lambda config: wrong if config[BETA] == 10 else bowl(config))
        assert states(trials) == [FAIL, COMPLETE, COMPLETE]
        assert "validation accuracy is" in trials[0].user_attrs["failure"]
        assert all(trial.values is None or math.isfinite(trial.value) for trial in trials)

    def test_a_point_that_breaks_a_rule_fails_and_the_search_goes_on(self, tmp_path):
        key = "student_loss.distillation.weight"
        text = f'[base]\n"{BETA}" = 0.0\n[parameters]\n'
        text += "".join(f'"{each}" = {{ choices = [0.0, 8.0] }}\n' for each in (key, GAMMA))
        bench = Bench(tmp_path / "runs", text=text, sampler="random")
        trials = bench.run(12, value=lambda config: config[GAMMA])
        failed = [trial for trial in trials if trial.state == FAIL]
        assert failed
        assert all(trial.params == {key: 0.0, GAMMA: 0.0} for trial in failed)
        assert "at least one term" in failed[0].user_attrs["failure"]

    def test_a_suggestion_is_answered_from_the_store_and_not_run_twice(self, tmp_path):
        text = f'[parameters]\n"{BETA}" = {{ choices = [0.0, 10.0] }}\n"{ORDERS}" = {{ choices = ["1", "1+2+3"] }}\n'
        bench = Bench(tmp_path / "runs", text=text, sampler="random")
        trials = bench.run(20)
        assert states(trials) == [COMPLETE] * 20
        # beta 10 with either orders, and beta 0, where the orders are of no effect
        assert len(bench.ran) == len(set(bench.ran)) == 3
        assert sum(trial.user_attrs["answered"] for trial in trials) == 17
        values = {trial.user_attrs["cell"]: trial.value for trial in trials}
        assert all(trial.value == values[trial.user_attrs["cell"]] for trial in trials)

    def test_two_trials_at_once_on_one_cell_share_its_value(self, tmp_path):
        text = f'[parameters]\n"{BETA}" = {{ choices = [0.0, 10.0] }}\n'
        bench = Bench(tmp_path / "runs", text=text, sampler="random")
        with pytest.raises(Killed):
            bench.run(8, kill_before=0)
        # In the middle of the first cell: as two slots would, ask on until nothing new is left.
        with open_study(bench.root / "studies/s", space=bench.points.space, objectives=1) as study:
            search = Search(
                study, bench.points, bench.store, objectives=ACCURACY, sampler="random", seed=0, limits=Limits(8)
            )
            cells = [search.next_cell(), search.next_cell(), search.next_cell()]
            assert cells[2] is None
            assert states(study.trials) == [RUNNING] * 8
            for number, cell in enumerate(cells[:2]):
                finish(bench.store, cell, float(number))
                search.done(cell)
            assert states(study.trials) == [COMPLETE] * 8


class TestWarmStart:
    def add(self, bench, value, points=None, **changes):
        """Write a finished cell at the defaults with ``changes``, as a grid would have."""
        points = points or bench.points
        cell = points.cell_of(with_overrides(points.base, changes))
        prepare_cell(bench.store, cell)
        finish(bench.store, cell.id, value)
        return cell.id

    def known(self, bench):
        return known_cells(bench.store, bench.points, ACCURACY)

    def test_finished_cells_of_the_space_count_once_and_cost_no_trial(self, bench):
        inside = self.add(bench, 0.7, **{BETA: 30.0})
        off = self.add(bench, 0.6, **{BETA: 0.0, ORDERS: "1"})
        self.add(bench, 0.9, **{BETA: 30.5})  # between two steps
        self.add(bench, 0.9, **{"schedule.epochs": 3})  # another budget
        self.add(bench, 0.9, **{"seed": 1})
        self.add(bench, None, **{BETA: 31.0})  # from before validation accuracy was measured
        other = type(bench.points)(bench.points.space, bench.points.base, "another teacher", "f", None)
        self.add(bench, 0.9, points=other)
        bench.run(2, known=self.known(bench))
        trials = bench.run(3, known=self.known(bench))
        assert len(own(trials)) == 3
        warm = {trial.user_attrs["cell"]: trial for trial in trials if trial not in own(trials)}
        assert {cell: trial.value for cell, trial in warm.items()} == {inside: 0.7, off: 0.6}
        assert warm[off].params == {BETA: 0.0, GAMMA: 8.0}

    def test_the_defaults_are_not_run_where_a_table_has_run_them(self, bench):
        default = self.add(bench, 0.7)
        trials = bench.run(1, known=self.known(bench))
        assert [trial.user_attrs["cell"] == default for trial in trials] == [True, False]

    def test_what_a_seed_moves_is_pooled_over_points(self, bench):
        assert seed_noise(self.known(bench), bench.points) is None
        for seed, value in enumerate((0.5, 0.6)):
            self.add(bench, value, seed=seed)
        for seed, value in enumerate((0.1, 0.1, 0.4)):
            self.add(bench, value, **{"seed": seed, BETA: 30.0})
        self.add(bench, 0.9, **{BETA: 31.0})  # one seed says nothing
        # squares around the means: 2 x 0.05^2 and 0.1^2 + 0.1^2 + 0.2^2, over 1 + 2 degrees of freedom
        assert seed_noise(self.known(bench), bench.points) == pytest.approx(math.sqrt((0.005 + 0.06) / 3))


class TestResume:
    def test_a_cell_that_was_under_way_is_finished_first_and_is_the_same_trial(self, bench):
        with pytest.raises(Killed):
            bench.run(5, kill_after=3)  # finished, and nobody was told
        assert states(self.read(bench)) == [COMPLETE, COMPLETE, RUNNING]
        with pytest.raises(Killed):
            bench.run(5, kill_before=0)
        assert states(self.read(bench)) == [COMPLETE] * 3 + [RUNNING]
        waiting = self.read(bench)[3].user_attrs["cell"]
        trials = bench.run(5)
        assert bench.ran[0] == waiting == trials[3].user_attrs["cell"]
        assert states(trials) == [COMPLETE] * 5

    def read(self, bench):
        with open_study(bench.root / "studies/s", space=bench.points.space, objectives=1) as study:
            return study.trials

    def test_more_trials_are_added_and_fewer_change_nothing(self, bench):
        first = bench.run(3)
        again = bench.run(6)
        assert points(again)[:3] == points(first)
        assert len(again) == 6
        assert len(bench.run(2)) == 6
        assert bench.ran == []

    def test_a_narrower_range_keeps_what_lies_in_it_and_a_wider_one_brings_the_rest_back(self, bench):
        before = bench.run(12)
        bench.text = bench.text.replace("high = 100.0", "high = 50.0", 1).replace('"1+2", ', "")
        fits = [trial.params for trial in before if trial.params[BETA] <= 50 and trial.params.get(ORDERS) != "1+2"]
        assert 0 < len(fits) < 12
        after = bench.run(len(fits) + 2)
        assert points(after)[: len(fits)] == fits
        assert len(bench.ran) == len(after) - len(fits) == 2
        assert all(bench.points.space.fits(trial.params) for trial in after)
        bench.text = Bench(bench.root).text
        again = bench.run(14)
        assert bench.ran == []
        assert {json.dumps(trial.params) for trial in again} == {json.dumps(t.params) for t in [*before, *after]}

    def test_a_kill_while_trials_are_taken_over_leaves_the_former_study(self, bench, monkeypatch):
        before = bench.run(4)
        bench.text = bench.text.replace("high = 100.0", "high = 200.0")

        def killed(*args):
            raise Killed

        monkeypatch.setattr(optuna.Study, "set_user_attr", killed)
        with pytest.raises(Killed):
            bench.run(4)
        monkeypatch.undo()
        assert points(bench.run(4)) == points(before)
        assert bench.ran == []

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda text: text.replace(GAMMA, "student_loss.sfcl.temperature"), [GAMMA, "sfcl.temperature"]),
            (lambda text: text.replace('choices = ["1", "1+2", "1+2+3"]', "low = 1, high = 2"), [ORDERS, "a range"]),
        ],
    )
    def test_other_parameters_or_another_kind_are_refused_with_what_to_do(self, bench, change, words):
        bench.run(2)
        bench.text = change(bench.text)
        with pytest.raises(StoreError) as error:
            bench.run(2)
        message = str(error.value)
        assert not [word for word in [*words, "space2.toml", "studies/s", "delete"] if word not in message], message

    def test_a_torn_last_line_and_a_dead_writers_lock_do_no_harm(self, bench):
        first = bench.run(3)
        journal = bench.root / "studies/s/journal.log"
        with journal.open("ab") as file:
            file.write(b'{"op_code":4,"wor')
        journal.with_name("journal.log.lock").symlink_to(journal)
        start = time.monotonic()
        assert points(bench.run(4))[:3] == points(first)
        assert time.monotonic() - start < 25  # Optuna waits 30 seconds for a lock
        assert len(bench.run(5)) == 5

    def test_a_study_is_searched_by_one_process_at_a_time(self, bench, monkeypatch):
        bench.run(1)
        monkeypatch.setattr(harness.search.study, "PATIENCE", 0.1)
        with FileLock(bench.root / "studies/s/lease"), pytest.raises(StoreError, match=r"studies/s\. Wait for it"):
            bench.run(2)

    def test_optuna_reads_the_journal(self, bench):
        bench.run(2)
        backend = optuna.storages.journal.JournalFileBackend(str(bench.root / "studies/s/journal.log"))
        study = optuna.load_study(study_name="s.1", storage=optuna.storages.JournalStorage(backend))
        assert study.best_value == max(trial.value for trial in study.trials)


class TestStops:
    def test_when_the_last_trials_brought_no_more_than_noise(self, bench):
        trials = bench.run(50, value=lambda config: 0.5, patience=4, noise=0.01)
        assert len(trials) == 5  # one to compare with, and four
        assert "last 4 trials" in bench.stopped
        more = bench.run(50, value=lambda config: 0.6, patience=6, noise=0.01)
        # five of 0.5, one of 0.6 to compare with, and six
        assert len(more) == 12

    def test_failed_trials_count_as_no_progress(self, bench):
        def fails_but_first(config):
            if config[BETA] != 10:
                raise RuntimeError("no")
            return 0.5

        assert len(bench.run(50, value=fails_but_first, patience=3, noise=0.0)) == 4

    def test_when_the_time_is_spent(self, bench):
        bench.run(50, deadline=time.monotonic() - 1)
        assert bench.ran == []
        assert bench.stopped == "the time budget is spent"

    def test_what_is_under_way_is_finished_nevertheless(self, bench):
        with pytest.raises(Killed):
            bench.run(50, kill_before=0)
        trials = bench.run(50, deadline=time.monotonic() - 1)
        assert states(trials) == [COMPLETE]


class TestObjectives:
    def test_none_reads_the_test_split(self, bench):
        record = {"test_accuracy": 0.9, "validation_accuracy": 0.5, "synthetic.agreement": 0.7}
        result = {"last": 0.9, "best_on_test": 0.9, "final_mean": 0.9, "images_per_second": 3.0, "validation_last": 0.5}
        assert [each.read(record, result) for each in OBJECTIVES.values()] == [0.5, 0.7, 3.0]

    def test_several_give_the_trials_that_none_beats(self, bench):
        trials = bench.run(6, objectives=("accuracy", "images_per_second"))
        assert all(len(trial.values) == 2 for trial in trials)

        made = [optuna.trial.create_trial(values=values) for values in ([1, 3], [3, 1], [1, 1], [2, 1], [1, 3])]
        assert [trial.values for trial in best_trials(made)] == [[3, 1], [1, 3], [1, 3]]

    @pytest.mark.parametrize("text", ["test_accuracy", "acuracy", "accuracy,accuracy", ""])
    def test_unknown_or_repeated_ones_are_refused(self, text):
        with pytest.raises(ConfigError, match="--objectives"):
            parse_objectives(text)


SCRIPT = """
import sys, time
from pathlib import Path
from searching import Bench, bowl
def slowly(config):
    time.sleep(0.05)
    return bowl(config)
Bench(Path(sys.argv[1])).run(int(sys.argv[2]), value=slowly)
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_hundred_trials_killed_five_times_are_those_of_an_undisturbed_search(tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(["tests/support", os.environ.get("PYTHONPATH", ".")])}
    command = [sys.executable, "-c", SCRIPT]
    subprocess.run([*command, str(tmp_path / "whole"), "100"], check=True, env=environment)
    broken = Bench(tmp_path / "broken")
    journal = broken.root / "studies/s/journal.log"
    for kill in range(1, 6):
        process = subprocess.Popen([*command, str(broken.root), "100"], env=environment)
        while (not journal.exists() or journal.read_bytes().count(b"\n") < 45 * kill) and process.poll() is None:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    trials = broken.run(100)
    assert states(trials) == [COMPLETE] * 100
    assert points(trials) == points(Bench(tmp_path / "whole").run(100))
