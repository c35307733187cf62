"""``dfkd search`` and ``dfkd spaces``: from a space to the best settings, and what bad input is told."""

import json
import shutil

import pytest

from harness.records import read_json, read_log
from outcome import refused
from small import sets

HELD_OUT = "data.validation_fraction=0.2"
SPACE = """
[parameters]
"student_loss.mhad.weight" = { low = 0.0, high = 100.0, step = 20.0 }
"student_loss.mhad.orders" = { choices = ["1", "1+2+3"], when = { "student_loss.mhad.weight" = "> 0" } }
"""


@pytest.fixture
def space(tmp_path):
    """Write a space of eleven points, of which one is digits' own settings."""
    path = tmp_path / "eleven.toml"
    path.write_text(SPACE)
    return path


@pytest.fixture(scope="module")
def held_out_store(mlflow_template, tmp_path_factory):
    """A store whose teacher has not seen a fifth of its training images. Copy it, do not write to it."""
    from typer.testing import CliRunner

    from harness.cli.main import app

    store = tmp_path_factory.mktemp("held-out") / "runs"
    result = CliRunner().invoke(app, ["teacher", "digits", "--store", str(store), *sets(HELD_OUT)])
    assert result.exit_code == 0, result.output
    shutil.copy(mlflow_template, store / "mlflow.db")
    return store


@pytest.fixture
def store(held_out_store, tmp_path):
    """A fresh copy of ``held_out_store``."""
    return shutil.copytree(held_out_store, tmp_path / "runs")


@pytest.fixture
def search(run, store):
    """Return ``search(space, ...)``: the command in the store, one trial after the other."""
    common = ["--budget", "smoke", "--store", str(store), "--executor", "local", *sets(HELD_OUT)]
    return lambda space, *extra: run("search", str(space), *common, *extra)


def test_a_search_from_a_grid_to_the_best_settings(run, search, store, space):
    options = ["--budget", "smoke", "--seeds", "0,1", "--store", str(store), *sets(HELD_OUT)]
    assert run("ablate", "table5", *options, "--executor", "local")[0] == 0
    cells = {path.name for path in (store / "cells").iterdir()}
    for cell in cells:
        assert (
            read_json(store / "cells" / cell / "result.json")["validation_last"]
            == (read_log(store / "cells" / cell)[-1]["validation_accuracy"])
        )
    status, output, _ = search(space, "--trials", "4")
    assert status == 0, output
    # table5 has run orders 1 and 1+2+3 at digits' own weight of 100, at the search's seed 0
    assert "besides 2 warm-started" in output
    assert "4 trials: " in output
    best = output[output.index("Best: ") :].splitlines()
    assert "--set student_loss.mhad.weight=" in best[1]
    ran = {path.name for path in (store / "cells").iterdir()} - cells
    assert 0 < len(ran) <= 4, output
    status, output, _ = search(space, "--trials", "7", "--patience", "3")
    assert status == 0, output
    assert "[7/7]" in output or "Stopped early: the last 3 trials" in output
    content = json.loads(run("status", "--store", str(store), "--json")[1])
    assert [plan["grid"] for plan in content["plans"]] == ["search-eleven", "table5"]
    grid = str(next((store / "studies").glob("eleven-*/best.toml")))
    plan = json.loads(run("plan", grid, *options, "--seeds", "0,5", "--json")[1])
    # what stands for seed 0 is done; it is the settings as they are and the best ones
    assert plan["rows"][:2] == ["as it is", "best 1"]
    assert [cell["status"] for cell in plan["planned"][:4]] == ["done", "todo"] * 2
    settings = best[1].partition(": ")[2].split()
    assert run("plan", "table4", *options, *settings, "--json")[0] == 0


def test_several_objectives_end_in_a_front(search, store, space):
    status, output, _ = search(space, "--trials", "2", "--objectives", "accuracy,parameters", "--sampler", "nsga2")
    assert status == 0, output
    assert "Pareto front" in output
    assert "--set student_loss.mhad.weight=" in output
    (grid,) = (store / "studies").glob("*/best.toml")
    assert 'name = "as it is"' in grid.read_text()


def test_a_trial_that_fails_is_told_and_the_search_goes_on(search, space, monkeypatch):
    import harness.cells

    real = harness.cells.distill

    def out_of_memory(config, **kwargs):
        if config.student_loss.mhad.weight == 100:
            raise MemoryError("no room")
        return real(config, **kwargs)

    monkeypatch.setattr(harness.cells, "distill", out_of_memory)
    status, output, _ = search(space, "--trials", "4", "--sampler", "qmc")
    assert status == 0, output
    assert "failed  MemoryError: no room" in output
    assert "Best: " in output


def test_ctrl_c_says_how_to_resume_and_the_trial_goes_on(search, space, monkeypatch):
    import harness.cells

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(harness.cells, "distill", interrupted)
    status, output, _ = search(space, "--trials", "1")
    assert status == 130
    assert "Resume with the same command" in output
    monkeypatch.undo()
    status, output, _ = search(space, "--trials", "1")
    assert (status, "1 trials: 1 run" in output) == (0, True), output


def test_a_criterion_without_real_images_needs_no_validation_split(run, teacher_store, tmp_path, space):
    store = shutil.copytree(teacher_store, tmp_path / "plain")
    common = ["--budget", "smoke", "--store", str(store), "--executor", "local", *sets()]
    refused(
        run("search", str(space), "--trials", "1", *common),
        *("`data.validation_fraction` must be > 0", "dfkd teacher digits", "--objectives agreement"),
    )
    status, output, _ = run("search", str(space), "--trials", "1", "--objectives", "agreement", *common)
    assert (status, "agreement on synthetic images" in output) == (0, True), output


def test_a_teacher_that_saw_the_validation_images_is_refused(run, teacher_store, store, space):
    seen = next((teacher_store / "teachers").glob("*/teacher.pt"))
    common = ["--budget", "smoke", "--store", str(store), *sets(HELD_OUT)]
    outcome = run("search", str(space), "--trials", "1", "--teacher", str(seen), *common)
    refused(outcome, "must not have seen the validation images", "0.2", str(seen))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SPACE.replace("mhad.weight", "mhad.wieght"), ["line 3", "wieght", "Did you mean `student_loss.mhad.weight`"]),
        (SPACE.replace("low = 0.0", "low = -40.0"), ["line 3", "student_loss.mhad.weight", ">= 0", "-40"]),
        (SPACE.replace('"1", ', '"1+1", '), ["line 4", "student_loss.mhad.orders", "ascending orders", "1+1"]),
        (SPACE.replace('"1", ', '"1", "1", '), ["line 4", "student_loss.mhad.orders", "must differ"]),
        (SPACE + '"data.image_size" = { choices = [16, 32] }', ["line 5", "data.image_size", "share teacher, data"]),
        (SPACE + '"schedule.epochs" = { low = 1.0, high = 2.0 }', ["line 5", "schedule.epochs", "an integer", "1.0"]),
    ],
)
def test_a_space_that_breaks_a_rule(search, store, tmp_path, text, words):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    refused(search(path, "--trials", "1"), str(path), *words)
    assert not (store / "cells").exists()
    assert not (store / "studies").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--set", "student_loss.mhad.weight=5"], ["`student_loss.mhad.weight` is set", "searches it"]),
        (["--objectives", "test_accuracy"], ["--objectives", "'test_accuracy'", "accuracy"]),
        (["--noise", "0.01"], ["--noise", "--patience"]),
        (["--patience", "3"], ["`--patience`", "two seeds", "--noise"]),
        (["--patience", "3", "--objectives", "accuracy,agreement"], ["`--patience`", "one objective"]),
        (["--grace", "3"], ["`--grace` must go with `--asha`"]),
        (["--asha"], ["`--asha`", "2 epochs", "leave `--asha` out"]),
        (["--asha", "--objectives", "accuracy,parameters"], ["`--asha`", "accuracy,parameters"]),
    ],
)
def test_options_that_do_not_fit_are_refused_before_anything_runs(search, store, space, options, words):
    refused(search(space, "--trials", "1", *options), *words)
    assert not (store / "cells").exists()


def test_the_spaces_are_listed_and_shown(run, space):
    listed = run("spaces")[1]
    assert "attention_orders" in listed
    assert "weights_and_orders" in listed
    status, output, _ = run("spaces", "show", "loss_weights")
    assert status == 0
    assert "0 to 0.09, step 0.01" in output
    assert "student_loss.mhad.weight > 0" in run("spaces", "show", str(space))[1]
    refused(run("spaces", "show", "loss_wieghts"), "Did you mean `loss_weights`")
