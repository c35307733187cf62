"""``dfkd search --asha``: runs that are stopped early are no results, go on from where they were, and survive kills."""

import pytest
from optuna.trial import TrialState

from dfkd.errors import ConfigError
from dfkd.overrides import with_overrides
from harness.cells import prepare_cell
from harness.records import read_json, read_log
from harness.search.halving import Halving, check_halving, rungs
from harness.search.known import known_cells
from harness.search.objectives import OBJECTIVES
from harness.search.ranking import best_trials
from searching import BETA, Bench, Killed, states
from small import sets

ACCURACY = (OBJECTIVES["accuracy"],)
COMPLETE, PRUNED, RUNNING = TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING
ASHA = (9, 1)
"""Nine epochs; runs are judged after the first and the third."""


@pytest.fixture
def bench(tmp_path):
    """A search over two weights and, where the first is positive, the orders."""
    return Bench(tmp_path / "runs")


def summary(trials):
    return [(trial.params, trial.state, trial.intermediate_values) for trial in trials]


class TestRule:
    def test_rungs_leave_three_times_as_many_epochs(self):
        assert rungs(9, 1) == (1, 3)
        assert rungs(60, 6) == (6, 18)
        assert rungs(8, 3) == ()

    def test_the_best_third_at_a_rung_goes_on(self):
        halving = Halving(epochs=9, grace=1)
        # Of one to five values the best goes on, of six and seven the best two.
        told = [("a", 0.5), ("b", 0.6), ("c", 0.4), ("d", 0.7), ("e", 0.1), ("f", 0.65), ("g", 0.6)]
        assert [halving.stops(name, 1, value) for name, value in told] == [False, False, True, False, True, False, True]
        assert not halving.stops("a", 2, 0.1)  # no rung
        assert not halving.stops("a", 3, 0.1)  # the first there
        assert halving.stops("b", 3, 0.05)
        assert not halving.stops("b", 3, 0.05)  # told before

    def test_the_last_third_of_a_run_is_always_finished(self):
        halving = Halving(epochs=9, grace=1)
        for name, value in (("a", 0.9), ("b", 0.1)):
            halving.take_in(name, {epoch: value for epoch in range(1, 9)})
        assert not halving.stops("b", 9, 0.1)

    @pytest.mark.parametrize(
        ("epochs", "grace", "names", "words"),
        [
            (2, None, ["accuracy"], "grace of 1 and 2 epochs"),
            (9, 4, ["accuracy"], "smaller `--grace`"),
            (9, None, ["accuracy", "parameters"], "`--objectives` is accuracy,parameters"),
            (9, None, ["images_per_second"], "after every epoch"),
        ],
    )
    def test_what_cannot_be_judged_is_refused(self, bench, epochs, grace, names, words):
        with pytest.raises(ConfigError, match=words):
            check_halving(epochs, grace, space=bench.points.space, objectives=tuple(OBJECTIVES[n] for n in names))

    def test_runs_of_different_lengths_are_refused(self, tmp_path):
        space = Bench(tmp_path, text='[parameters]\n"schedule.epochs" = { low = 9, high = 18 }\n').points.space
        with pytest.raises(ConfigError, match="one length"):
            check_halving(9, None, space=space, objectives=ACCURACY)

    def test_a_ninth_is_given_to_all(self, bench):
        assert check_halving(60, None, space=bench.points.space, objectives=ACCURACY) == 6


class TestSearch:
    def test_stops_most_runs_and_finds_the_optimum(self, bench):
        trials = bench.run(40, asha=ASHA)
        stopped = [trial for trial in trials if trial.state == PRUNED]
        assert len(stopped) > 15
        assert {trial.last_step for trial in stopped} <= {1, 3}
        assert bench.trained < 0.6 * 40 * 9
        (best, *_) = best_trials(trials, ACCURACY)
        assert best.state == COMPLETE
        assert best.value > 0.95

    def test_the_settings_as_they_are_are_never_stopped(self, bench):
        cell = bench.points.cell_of(with_overrides(bench.points.base, {BETA: 30.0}))
        prepare_cell(bench.store, cell)
        bench.complete(cell.id, 1.0, 9)
        known = known_cells(bench.store, bench.points, ACCURACY)
        trials = bench.run(6, value=lambda c: 0.1 if c[BETA] == 10 else 0.05, known=known, asha=ASHA)
        # The finished cell has its places in the rungs, so all others are stopped at the first one.
        assert states(trials) == [COMPLETE, COMPLETE, *[PRUNED] * 5]
        assert trials[1].value == pytest.approx(0.1)

    def test_a_stopped_cell_is_no_result_and_counts_once_a_grid_completes_it(self, bench):
        trials = bench.run(12, asha=ASHA)
        stopped = next(trial for trial in trials if trial.state == PRUNED)
        cell = stopped.user_attrs["cell"]
        assert bench.store.read(cell).status == "todo"
        assert cell not in {one.cell_id for one in known_cells(bench.store, bench.points, ACCURACY)}
        assert len(read_log(bench.store.cell(cell))) == stopped.last_step
        bench.complete(cell, 0.5, 9)
        known = known_cells(bench.store, bench.points, ACCURACY)
        again = bench.run(12, known=known, asha=ASHA)
        warm = [trial for trial in again if trial.user_attrs["cell"] == cell]
        assert [(trial.state, trial.value) for trial in warm[1:]] == [(COMPLETE, 0.5)]
        assert again[stopped.number].state == PRUNED

    def test_a_stopped_point_is_answered_and_without_asha_it_is_run_to_its_end(self, tmp_path):
        text = f'[parameters]\n"{BETA}" = {{ choices = [0.0, 10.0, 20.0] }}\n'
        bench = Bench(tmp_path / "runs", text=text, sampler="random")
        values = {0.0: 0.1, 10.0: 0.9, 20.0: 0.2}
        trials = bench.run(12, value=lambda c: values[c[BETA]], asha=ASHA)
        assert len(bench.ran) == 3
        stopped = [trial for trial in trials if trial.state == PRUNED]
        assert len({trial.user_attrs["cell"] for trial in stopped}) == 2
        assert any(trial.user_attrs["answered"] for trial in stopped)
        trials = bench.run(20, value=lambda c: values[c[BETA]])
        assert states(trials[12:]) == [COMPLETE] * 8

    @pytest.mark.parametrize("sampler", ["tpe", "gp", "nsga2"])
    def test_kills_change_nothing(self, tmp_path, sampler):
        whole, broken = Bench(tmp_path / "whole", sampler=sampler), Bench(tmp_path / "broken", sampler=sampler)
        trials = whole.run(16, asha=ASHA)
        assert {COMPLETE, PRUNED} == set(states(trials))
        killed = 0
        for kill in ((1, 4, "after"), (2, 1, "before"), (1, 1, "after"), (3, 1, "after"), (2, 1, "after")):
            try:
                broken.run(16, asha=ASHA, kill_at=kill)
            except Killed:
                killed += 1
        assert killed >= 4
        assert summary(broken.run(16, asha=ASHA)) == summary(trials)

    def test_a_kill_between_the_epoch_and_the_verdict(self, bench, tmp_path, monkeypatch):
        from harness.search.study import Study

        trials = Bench(tmp_path / "whole").run(8, asha=ASHA)

        def killed(*args):
            raise Killed

        monkeypatch.setattr(Study, "stop", killed)
        with pytest.raises(Killed):
            bench.run(8, asha=ASHA)
        monkeypatch.undo()
        assert summary(bench.run(8, asha=ASHA)) == summary(trials)

    def test_another_range_keeps_what_was_stopped(self, bench):
        before = bench.run(12, asha=ASHA)
        bench.text = bench.text.replace("high = 100.0", "high = 200.0")
        after = bench.run(12, asha=ASHA)
        assert summary(after) == summary(before)
        assert bench.ran == []


@pytest.mark.slow
def test_real_cells_are_stopped_and_completed_by_a_grid(run, store, tmp_path):
    rate = "student.learning_rate"
    (tmp_path / "one.toml").write_text(f'[parameters]\n"{rate}" = {{ low = 1e-4, high = 1.0, log = true }}\n')
    common = [
        "--store",
        str(store),
        "--executor",
        "local",
        *sets("schedule.epochs=3", "schedule.iterations_per_epoch=2"),
    ]
    command = ["search", str(tmp_path / "one.toml"), "--trials", "5", "--objectives", "agreement", "--budget", "smoke"]
    status, output, _ = run(*command, *common, "--asha")
    assert status == 0, output
    stopped = [line for line in output.splitlines() if "stopped after epoch" in line]
    assert stopped, output
    assert f"{len(stopped)} stopped early" in output
    unfinished = [path.parent for path in (store / "cells").glob("*/state.pt")]
    unfinished = [cell for cell in unfinished if not (cell / "failure.json").exists()]  # a rate may be too high
    assert len(unfinished) == len(stopped)
    cell, before = unfinished[0], read_log(unfinished[0])
    value = read_json(cell / "config.json")["config"][rate]
    (tmp_path / "grid.toml").write_text(f'[[row]]\nname = "it"\nset = {{ "{rate}" = {value!r} }}\n')
    status, output, _ = run("ablate", str(tmp_path / "grid.toml"), "--budget", "smoke", "--seeds", "0", *common)
    assert status == 0, output
    assert (cell / "result.json").exists()
    assert read_log(cell)[: len(before)] == before
    assert len(read_log(cell)) == 3
