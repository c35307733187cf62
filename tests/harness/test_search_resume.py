"""A search that goes on: from other runs' cells, after a kill, with more trials, and with other ranges."""

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
from dfkd.overrides import with_overrides
from harness.cells import prepare_cell
from harness.search.known import known_cells, seed_noise
from harness.search.objectives import OBJECTIVES
from harness.search.study import open_study
from harness.store import StoreError
from searching import BETA, GAMMA, ORDERS, Bench, Killed, finish, points, states

COMPLETE, RUNNING = TrialState.COMPLETE, TrialState.RUNNING


@pytest.fixture
def bench(tmp_path):
    """A search over two weights and, where the first is positive, the orders."""
    return Bench(tmp_path / "runs")


def own(trials):
    return [trial for trial in trials if trial.user_attrs["origin"] == "suggested"]


class TestWarmStart:
    def add(self, bench, value, points=None, **changes):
        """Write a finished cell at the defaults with ``changes``, as a grid would have."""
        points = points or bench.points
        cell = points.cell_of(with_overrides(points.base, changes))
        prepare_cell(bench.store, cell)
        finish(bench.store, cell.id, value)
        return cell.id

    def known(self, bench):
        return known_cells(bench.store, bench.points, (OBJECTIVES["accuracy"],))

    def test_finished_cells_of_the_space_count_once_and_cost_no_trial(self, bench):
        inside = self.add(bench, 0.7, **{BETA: 30.0})
        off = self.add(bench, 0.6, **{BETA: 0.0, ORDERS: "1"})
        self.add(bench, 0.9, **{BETA: 30.5})  # between two steps
        self.add(bench, 0.9, **{"schedule.epochs": 3})  # another budget
        self.add(bench, 0.9, **{"seed": 1})
        self.add(bench, None, **{BETA: 31.0})  # from before validation accuracy was measured
        other = type(bench.points)(bench.points.space, bench.points.base, "another teacher", "f", None, 10)
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
        with open_study(bench.root / "studies/s", space=bench.points.space, directions=["maximize"]) as study:
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

    def test_a_study_of_a_newer_format_is_refused_with_what_to_do(self, bench, monkeypatch):
        monkeypatch.setattr(harness.search.study, "FORMAT", harness.search.study.FORMAT + 1)
        before = bench.run(2)
        monkeypatch.undo()
        journal = bench.root / "studies/s/journal.log"
        content = journal.read_bytes()
        with pytest.raises(StoreError, match=r"format 1 or older.*studies/s is of format 2\. Update .* or move"):
            bench.run(2)
        assert journal.read_bytes() == content
        monkeypatch.setattr(harness.search.study, "FORMAT", harness.search.study.FORMAT + 1)
        assert points(bench.run(2)) == points(before)

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
        held = r"studies/s is held by .*\. Wait for it"
        with FileLock(bench.root / "studies/s/lease"), pytest.raises(StoreError, match=held):
            bench.run(2)

    def test_optuna_reads_the_journal(self, bench):
        bench.run(2)
        backend = optuna.storages.journal.JournalFileBackend(str(bench.root / "studies/s/journal.log"))
        study = optuna.load_study(study_name="s.1", storage=optuna.storages.JournalStorage(backend))
        assert study.best_value == max(trial.value for trial in study.trials)


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
    lines = (tmp_path / "whole/studies/s/journal.log").read_bytes().count(b"\n")
    for kill in range(1, 6):
        process = subprocess.Popen([*command, str(broken.root), "100"], env=environment)
        while (
            not journal.exists() or journal.read_bytes().count(b"\n") < lines * kill // 6
        ) and process.poll() is None:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    trials = broken.run(100)
    assert states(trials) == [COMPLETE] * 100
    assert points(trials) == points(Bench(tmp_path / "whole").run(100))
