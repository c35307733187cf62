"""What is read from a study for its figures: trials, their objectives, what each parameter matters."""

import numpy as np
import optuna
import pytest

from harness.records import write_json
from harness.search.trials import (
    ENOUGH,
    find_study,
    parameter_importances,
    read_trials,
    study_objectives,
    trial_lines,
)
from harness.store import Store, StoreError
from outcome import refused
from searching import BETA, GAMMA, ORDERS, Bench

UNIT = optuna.distributions.FloatDistribution(0, 1)


@pytest.fixture
def searched(tmp_path):
    """A store with a search of two objectives, one failed trial among six."""

    def value(config):
        if len(bench.ran) == 3:
            raise RuntimeError("no room")
        return config[BETA] / 100

    bench = Bench(tmp_path / "runs")
    bench.run(6, value=value, objectives=("accuracy", "images_per_second"))
    write_json(bench.root / "studies/s/search.json", {"objectives": ["accuracy", "images_per_second"]})
    return bench


def test_a_line_a_trial(searched):
    lines = trial_lines(read_trials(find_study(searched.store, "s")))
    assert [line["number"] for line in lines] == list(range(6))
    assert [line["state"] for line in lines].count("FAIL") == 1
    for line in lines:
        if line["state"] == "FAIL":
            assert (line["value"], line["value_2"]) == (None, None)
        else:
            assert (line["value"], line["value_2"]) == (line[BETA] / 100, 1.0)
        assert (ORDERS in line) == (line[BETA] > 0)  # a condition that does not hold has no parameter
        assert GAMMA in line


def test_a_study_is_found_by_the_beginning_of_its_name(searched):
    folder = searched.root / "studies" / "loss-1"
    folder.mkdir()
    (folder / "journal.log").touch()
    assert find_study(searched.store, "lo") == folder
    for text, words in (("", "names 2 of: loss-1, s"), ("x", "names 0"), ("losss-1", "Did you mean loss-1?")):
        with pytest.raises(StoreError, match=words.replace("?", r"\?")):
            find_study(searched.store, text)
    with pytest.raises(StoreError, match="none"):
        find_study(Store(searched.root / "elsewhere"), "s")
    assert read_trials(folder) == []


def test_the_objectives_are_those_that_the_search_noted(searched):
    folder = searched.root / "studies/s"
    assert [each.title for each in study_objectives(folder)] == ["validation accuracy", "images per second"]
    (folder / "search.json").unlink()
    with pytest.raises(StoreError, match=r"no search.json. Give the `dfkd search`"):
        study_objectives(folder)


def trial(value, **params):
    return optuna.trial.create_trial(
        value=value,
        params=params,
        distributions={name: UNIT for name in params},
        state=optuna.trial.TrialState.COMPLETE,
    )


def test_what_matters_has_the_larger_share_and_the_same_call_the_same_numbers():
    drawn = np.random.default_rng(0).random((60, 2))
    trials = [trial(-((x - 0.5) ** 2), x=x, y=y) for x, y in drawn]
    found = parameter_importances(trials)
    assert sum(share for share, _ in found.values()) == pytest.approx(1)
    assert found["x"][0] > 0.7
    low, high = np.quantile(found["x"][1], [0.025, 0.975])
    assert 0.5 < low <= high <= 1
    assert parameter_importances(trials) == found


def test_too_few_trials_say_nothing():
    trials = [trial(float(i), x=i / 10) for i in range(ENOUGH - 1)]
    failed = optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL, params={"x": 0.5}, distributions={"x": UNIT})
    assert parameter_importances([*trials, failed]) == {}


@pytest.mark.parametrize("name", ["history", "parallel", "front"])
def test_figures_name_the_objectives(run, searched, tmp_path, monkeypatch, name):
    import reports.figures

    kept = []
    monkeypatch.setattr(reports.figures, "save", lambda figure, stem: kept.append(figure) or [stem])
    status, _, stderr = run("figure", name, "s", "--store", str(searched.root), "--out", str(tmp_path / "x"))
    assert (status, stderr) == (0, "")
    (axes,) = kept[0].axes
    shown = [axes.get_xlabel(), axes.get_ylabel(), *(label.get_text() for label in axes.get_xticklabels())]
    assert "validation accuracy" in shown
    assert ("images per second" in shown) == (name == "front")


def test_a_front_needs_two_objectives_and_importances_enough_trials(run, searched, tmp_path):
    where = ("--store", str(searched.root), "--out", str(tmp_path / "x"))
    refused(run("figure", "importances", "s", *where), "several finished trials")
    write_json(searched.root / "studies/s/search.json", {"objectives": ["accuracy"]})
    refused(run("figure", "front", "s", *where), "two objectives", "'s'", "validation accuracy")
    assert not list(tmp_path.glob("x*"))
