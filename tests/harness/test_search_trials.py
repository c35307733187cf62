"""What is read from a study for its figures: trials and their objectives."""

import pytest

from harness.records import write_json
from harness.search.importances import ENOUGH
from harness.search.trials import find_study, read_trials, study_objectives, trial_lines
from harness.store import Store, StoreError
from outcome import refused
from searching import BETA, GAMMA, ORDERS, Bench


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
    folder = find_study(searched.store, "s")
    lines = trial_lines(read_trials(folder), study_objectives(folder))
    assert [line["number"] for line in lines] == list(range(6))
    assert [line["state"] for line in lines].count("FAIL") == 1
    for line in lines:
        if line["state"] == "FAIL":
            assert (line["value"], line["value_2"]) == (None, None)
        else:
            assert (line["value"], line["value_2"]) == (pytest.approx(line[BETA]), 1.0)  # in percent
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


@pytest.mark.parametrize("name", ["history", "parallel", "front"])
def test_figures_name_the_objectives(run, searched, tmp_path, monkeypatch, name):
    import reports.figures

    kept = []
    monkeypatch.setattr(reports.figures, "save", lambda figure, stem, table: kept.append(figure) or [stem])
    status, _, stderr = run("figure", name, "s", "--store", str(searched.root), "--out", str(tmp_path / "x"))
    assert (status, stderr) == (0, "")
    (axes,) = kept[0].axes
    labels = [axes.get_xlabel(), axes.get_ylabel(), *(label.get_text() for label in axes.get_xticklabels())]
    shown = [label.replace("\n", " ") for label in labels]
    assert "validation accuracy (%)" in shown
    assert ("images per second" in shown) == (name == "front")


@pytest.mark.parametrize("turned", [False, True])
def test_what_a_student_costs_is_never_taken_for_how_well_it_does(run, tmp_path, monkeypatch, turned):
    """``--objectives parameters,accuracy`` gives the figures of ``accuracy,parameters``."""
    names, kept = ("accuracy", "parameters")[:: -1 if turned else 1], []
    bench = Bench(tmp_path / "runs")
    bench.run(ENOUGH, value=lambda config: config[BETA] / 100, objectives=names)
    write_json(bench.root / "studies/s/search.json", {"objectives": list(names)})
    monkeypatch.setattr("reports.figures.save", lambda figure, stem, table: kept.append((figure, table)) or [stem])
    for name in ("history", "front", "importances"):
        status, _, stderr = run("figure", name, "s", "--store", str(bench.root), "--out", str(tmp_path / "x"))
        assert (status, stderr) == (0, "")
    (history,), (front,), (importances,) = (figure.axes for figure, _ in kept)
    assert history.get_ylabel() == front.get_ylabel() == "validation accuracy (%)"
    assert front.get_xlabel() == "the student's parameters"
    assert importances.get_xlabel() == "share of importance for validation accuracy"
    values = history.lines[0].get_ydata()
    assert sorted(values) == sorted(front.lines[0].get_ydata())
    assert history.lines[1].get_ydata()[-1] == max(values) <= 100
    # All students are alike, so that the best one alone is not beaten.
    assert list(front.lines[1].get_ydata()) == [max(values)]
    assert kept[2][1]["parameter"][0] == BETA


def test_paper_draws_what_a_search_has_and_says_what_it_lacks(run, searched, tmp_path):
    from harness.cli.paper_figures import write_search_figures

    write_search_figures(searched.store, tmp_path)
    drawn = {"s-history", "s-parallel", "s-front"}  # of importances there are too few trials
    assert {path.stem for path in tmp_path.glob("s-*")} == drawn
    assert all((tmp_path / f"{stem}.{suffix}").exists() for stem in drawn for suffix in ("png", "svg"))


def test_a_front_needs_two_objectives(run, searched, tmp_path):
    where = ("--store", str(searched.root), "--out", str(tmp_path / "x"))
    write_json(searched.root / "studies/s/search.json", {"objectives": ["accuracy"]})
    refused(run("figure", "front", "s", *where), "two objectives", "'s'", "validation accuracy")
    assert not list(tmp_path.glob("x*"))
