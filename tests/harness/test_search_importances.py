"""How much a parameter matters: functions whose shares are known, and how far few trials can be believed."""

import numpy as np
import optuna
import pytest
from optuna.study import StudyDirection

from harness.cli.search_figures import ImportanceEvaluator, importance_notes
from harness.records import write_json
from harness.search import importances
from harness.search.importances import ENOUGH, EVALUATORS, FEW, parameter_importances
from harness.store import StoreError
from outcome import refused
from searching import BETA, GAMMA, Bench

UNIT = optuna.distributions.FloatDistribution(0, 1)
BOTH = pytest.mark.parametrize("evaluator", list(EVALUATORS))


def trial(value, **params):
    distributions = {name: UNIT for name in params}
    return optuna.trial.create_trial(value=float(value), params=params, distributions=distributions)


def additive(count):
    """Return trials of 2 x + y, drawn from the unit cube: of its variance x brings 4/12, y 1/12, ``dummy`` nothing."""
    points = np.random.default_rng(0).random((count, 3))
    return [trial(2 * x + y, x=x, y=y, dummy=dummy) for x, y, dummy in points]


def width(found, name="x"):
    low, high = np.quantile(found.resampled[name], [0.025, 0.975])
    return high - low


@pytest.fixture
def quick(monkeypatch):
    """A forest of few trees, and few resamplings: a tenth of the time."""
    monkeypatch.setattr(importances, "RESAMPLES", 25)
    monkeypatch.setattr(importances, "TREES", 4)


def test_the_command_line_has_every_evaluator():
    assert [each.value for each in ImportanceEvaluator] == list(EVALUATORS)


def test_shares_of_an_additive_function_are_those_of_its_variance(monkeypatch):
    monkeypatch.setattr(importances, "RESAMPLES", 1)
    shares = parameter_importances(additive(150), evaluator="fanova").shares
    assert sum(shares.values()) == pytest.approx(1)
    assert list(shares) == ["x", "y", "dummy"]
    # 4 / (4 + 1) and 1 / (4 + 1); a forest leans to what matters most.
    assert shares["x"] == pytest.approx(0.8, abs=0.1)
    assert shares["y"] == pytest.approx(0.2, abs=0.1)
    assert shares["dummy"] < 0.02


def test_what_sets_the_best_apart_has_the_larger_share(monkeypatch):
    monkeypatch.setattr(importances, "RESAMPLES", 1)
    points = np.random.default_rng(0).random((200, 3))
    equal = parameter_importances([trial(x + y, x=x, y=y, dummy=dummy) for x, y, dummy in points]).shares
    # By symmetry x and y have the same share.
    assert equal["x"] == pytest.approx(0.5, abs=0.1)
    assert equal["y"] == pytest.approx(0.5, abs=0.1)
    assert equal["dummy"] < 0.1
    # The best of 1 - x are the worst of x, so the same once it is minimised.
    worst = [trial(1 - x, x=x, y=y) for x, y, _ in points]
    best = [trial(x, x=x, y=y) for x, y, _ in points]
    minimised = parameter_importances(worst, direction=StudyDirection.MINIMIZE)
    assert minimised.shares == pytest.approx(parameter_importances(best).shares)


@pytest.mark.parametrize(("evaluator", "count"), [("ped-anova", 50), ("fanova", 12)])
def test_intervals_shrink_with_the_trials_and_equal_calls_give_equal_numbers(quick, evaluator, count):
    few = parameter_importances(additive(count), evaluator=evaluator)
    many = parameter_importances(additive(6 * count), evaluator=evaluator)
    assert width(many) < 0.75 * width(few)
    assert (few.trials, few.resamples) == (count, 25)
    assert parameter_importances(additive(count), evaluator=evaluator) == few


def test_a_parameter_that_some_trials_lack_is_left_out_where_it_cannot_be_judged(quick):
    trials = additive(20)
    lacking = [trial(each.value, **{k: v for k, v in each.params.items() if k != "y"}) for each in trials[:10]]
    mixed = [*lacking, *trials[10:]]
    found = parameter_importances(mixed, evaluator="fanova")
    assert (sorted(found.shares), found.left_out) == (["dummy", "x"], ("y",))
    assert importance_notes(found, "fanova")[-1] == "Not judged, since some trials lack them: y."
    assert all(one + other == pytest.approx(1) for one, other in zip(*found.resampled.values(), strict=True))
    judged = parameter_importances(mixed, evaluator="ped-anova")
    assert (sorted(judged.shares), judged.left_out) == (["dummy", "x", "y"], ())
    with pytest.raises(StoreError, match="parameter that every finished trial has, but there is none"):
        parameter_importances([*(trial(i, x=0.1 * i) for i in range(9)), trial(1, y=0.5)], evaluator="fanova")


@BOTH
def test_too_few_trials_and_trials_that_are_all_the_same_are_refused_in_words(evaluator):
    failed = optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL, params={"x": 0.5}, distributions={"x": UNIT})
    pruned = optuna.trial.create_trial(state=optuna.trial.TrialState.PRUNED, value=0.1)
    trials = [trial(i, x=i / 10) for i in range(ENOUGH - 1)]
    with pytest.raises(StoreError, match=f"at least {ENOUGH} finished trials, but the search has 9 of 11.*--trials"):
        parameter_importances([*trials, failed, pruned], evaluator=evaluator)
    with pytest.raises(StoreError, match="but all 12 finished ones have the same"):
        parameter_importances([trial(1, x=i / 12) for i in range(12)], evaluator=evaluator)
    # One that differs is enough, though most resamplings of ten miss it.
    assert parameter_importances([*trials, trial(99, x=1.0)], evaluator="ped-anova").trials == ENOUGH


@BOTH
def test_the_figure_says_what_it_rests_on_and_has_its_numbers_beside_it(run, quick, tmp_path, monkeypatch, evaluator):
    import reports.figures

    bench, kept = Bench(tmp_path / "runs"), []
    bench.run(ENOUGH + 1)
    write_json(bench.root / "studies/s/search.json", {"objectives": ["accuracy"]})
    draw = reports.figures.importances
    monkeypatch.setattr(reports.figures, "importances", lambda *a, **b: kept.append(draw(*a, **b)) or kept[-1])
    where = ("--store", str(bench.root), "--out", str(tmp_path / "x"), "--evaluator", evaluator)
    status, stdout, stderr = run("figure", "importances", "s", *where)
    assert (status, stderr) == (0, "")
    label = kept[0].get_supxlabel()
    parts = [EVALUATORS[evaluator].title, "11 trials", "95 % of 25 resamplings of them, seed 0", f"fewer than {FEW}"]
    for part in parts:
        assert part in label
        assert part in stdout
    head, *lines = (tmp_path / "x.csv").read_text().splitlines()
    assert head == "parameter,share,low,high,evaluator,trials,resamples,seed"
    assert {BETA, GAMMA} <= {line.split(",")[0] for line in lines}
    assert all(line.endswith(f",{evaluator},11,25,0") for line in lines)


def test_too_few_trials_draw_nothing(run, tmp_path):
    bench = Bench(tmp_path / "runs")
    bench.run(3)
    write_json(bench.root / "studies/s/search.json", {"objectives": ["accuracy"]})
    where = ("--store", str(bench.root), "--out", str(tmp_path / "x"))
    refused(run("figure", "importances", "s", *where), "at least 10 finished trials", "has 3", "--trials")
    assert not list(tmp_path.glob("x*"))
