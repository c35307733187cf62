"""``dfkd search --then-confirm``: what is left of a search's gain on seeds that it has not used."""

import json
import math

import pytest

from dfkd.errors import ConfigError
from harness.records import Plan, PlannedCell, write_json
from harness.search.confirm import TEST, caution, check_fresh, confirmed, verdict
from harness.search.objectives import OBJECTIVES
from harness.store import Store
from outcome import refused
from searching import finish
from small import sets

ACCURACY = OBJECTIVES["accuracy"]
CONFIG = {"config": {"student.architecture": "resnet8", "data.image_size": 16}}


def rows_of(tmp_path, values, searched, objective=ACCURACY):
    """Return the confirmation of two rows, ``values`` by row and seed; None for a cell that is not done."""
    store, cells = Store(tmp_path), []
    for row, by_seed in values.items():
        for seed, value in enumerate(by_seed, 10):
            cell = f"{row}-{seed}"
            cells.append(PlannedCell(cell, row, seed))
            write_json(store.cell(cell) / "config.json", CONFIG)
            if value is not None:
                finish(store, cell, value, last=value / 2)
    seeds = tuple(range(10, 10 + len(next(iter(values.values())))))
    plan = Plan("k", "best", "t", tuple(values), "as it is", seeds, tuple(cells), {})
    return confirmed(store, plan, objective, searched=searched, classes=3)


class TestNumbers:
    def test_are_paired_by_seed(self, tmp_path):
        values = {"as it is": [0.50, 0.60, 0.40, 0.5], "best 1": [0.53, 0.62, 0.41, None]}
        start, best = rows_of(tmp_path, values, {"as it is": 0.5, "best 1": 0.54})
        assert start.mean == pytest.approx(0.5)
        assert start.gains == (0, 0, 0, 0)
        assert best.values == {10: 0.53, 11: 0.62, 12: 0.41}
        assert best.gains == pytest.approx((0.03, 0.02, 0.01))
        # mean 0.02, sd 0.01, so 0.02 -+ t(0.975, 2) * 0.01 / sqrt(3), where t = 4.30265
        assert best.interval == pytest.approx(
            (0.02 - 4.30265 * 0.01 / 3**0.5, 0.02 + 4.30265 * 0.01 / 3**0.5), abs=1e-6
        )
        told = verdict(best, start, ACCURACY)
        assert "+4.00 points in the search, +2.00 points on 3 fresh seeds: 50 % of the gain is left" in told
        assert "-0.48 points to +4.48 points (Student's t, n = 3): it holds 0" in told

    @pytest.mark.parametrize(
        ("best", "searched", "words"),
        [
            ([0.56, 0.67, 0.46], 0.54, ["likely better"]),
            ([0.44, 0.53, 0.34], 0.54, ["nothing of the gain is left", "likely worse"]),
            ([0.51, 0.61, 0.41], 0.54, ["25 % of the gain is left", "All 3 differences are equal"]),
            ([0.51, None, None], 0.54, ["on 1 fresh seed: ", "One seed gives no interval"]),
            ([None, None, None], 0.54, ["nothing is confirmed"]),
            ([0.51, 0.62, 0.41], 0.50, ["the search had found no gain"]),
            ([0.51, 0.62, 0.41], None, ["no value of 'as it is'"]),
        ],
    )
    def test_are_told_in_words_that_do_not_oversell(self, tmp_path, best, searched, words):
        values = {"as it is": [0.50, 0.60, 0.40], "best 1": best}
        start, row = rows_of(tmp_path, values, {"as it is": 0.5 if searched else None, "best 1": searched})
        told = verdict(row, start, ACCURACY)
        assert not [word for word in words if word not in told], told

    def test_of_less_is_better_are_turned_round(self, tmp_path):
        values = {"as it is": [0.5, 0.5], "best 1": [0.5, 0.5]}
        start, best = rows_of(tmp_path, values, {}, OBJECTIVES["parameters"])
        assert start.mean == best.mean > 1000
        assert best.interval is None
        assert OBJECTIVES["parameters"].gain(3.0, 5.0) == 2.0

    def test_the_test_split_is_told_and_is_no_objective(self, tmp_path):
        start, best = rows_of(tmp_path, {"as it is": [0.5], "best 1": [0.7]}, {}, TEST)
        assert (start.mean, best.gain) == (0.25, pytest.approx(0.1))
        assert math.isnan(best.sd)
        assert TEST.name not in OBJECTIVES

    def test_cautions(self):
        assert "validation images" in caution(1, [ACCURACY])
        assert "to search again" in caution(2, [OBJECTIVES["agreement"]])


def test_the_searchs_own_seed_is_refused():
    check_fresh((1, 2), 0)
    with pytest.raises(ConfigError, match="not used, but 3 is the search's own"):
        check_fresh((1, 3), 3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--then-confirm", "2"], ["`--then-confirm` must go with `--seeds`"]),
        (["--seeds", "1,2"], ["`--seeds` must go with `--then-confirm`", "`--seed`"]),
        (["--then-confirm", "2", "--seeds", "1,4", "--seed", "4"], ["4 is the search's own"]),
        (["--then-confirm", "2", "--seeds", "1,1"], ["distinct"]),
    ],
)
def test_options_that_do_not_fit_are_refused_before_anything_runs(run, tmp_path, options, words):
    refused(run("search", "loss_weights", "--trials", "1", "--store", str(tmp_path / "runs"), *options), *words)
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_search_is_confirmed_and_goes_on_after_an_interruption(run, store, tmp_path, monkeypatch):
    import harness.cells

    (tmp_path / "one.toml").write_text(
        '[parameters]\n"student_loss.mhad.weight" = { low = 0.0, high = 100.0, step = 20.0 }\n'
    )
    common = ["--budget", "smoke", "--store", str(store), "--executor", "local", *sets()]
    command = ["search", str(tmp_path / "one.toml"), "--trials", "3", "--objectives", "agreement", *common]
    command += ["--then-confirm", "1", "--seeds", "10,11"]
    real, ran = harness.cells.distill, []

    def interrupted(config, **kwargs):
        ran.append(config.seed)
        if ran.count(10) + ran.count(11) == 3:
            raise KeyboardInterrupt
        return real(config, **kwargs)

    monkeypatch.setattr(harness.cells, "distill", interrupted)
    status, output, _ = run(*command)
    assert status == 130
    assert "Resume with the same command" in output
    monkeypatch.setattr(
        harness.cells, "distill", lambda config, **kwargs: ran.append(config.seed) or real(config, **kwargs)
    )
    ran.clear()
    status, output, _ = run(*command)
    assert status == 0, output
    assert ran == [11, 11]  # seed by seed: both rows at 10 were done
    assert "4 of 4 cells done" in output
    assert "fresh seeds" in output
    assert "test accuracy: reported only, it chose nothing" in output
    assert "paired difference" in output or "differences are equal" in output
    ran.clear()
    assert run(*command)[0] == 0
    assert ran == []
    (grid,) = (store / "studies").glob("one-*/best.toml")
    plan = json.loads(run("plan", str(grid), *common[:4], *sets(), "--seeds", "10,11", "--json")[1])
    assert plan["rows"] == ["as it is", "best 1"]
    assert {cell["status"] for cell in plan["planned"]} == {"done"}
