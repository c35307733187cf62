"""Engines in the harness: refused before any work, recorded with what they ran, and picked by measurement."""

import json
import shutil
from dataclasses import replace

import pytest

import dfkd.learners
import harness.engines
from dfkd.config import RunConfig
from dfkd.errors import ConfigError
from dfkd.overrides import with_overrides
from dfkd.passes import eager_passes
from harness.cells import prepare_cell, run_cell
from harness.driver import prepare
from harness.engines import choose_engine, engine_sentences
from harness.inputs import EAGER, Execution, Where
from harness.layers import parse_settings
from harness.plan import expand
from harness.probe import Taken
from harness.rates import Rates, like_cells
from harness.records import read_json, read_log, write_json
from harness.shape import shape_of
from harness.store import RunLog, Store
from outcome import refused
from records import numbers
from search_spaces import load_grid
from small import SMALL, sets

STEPS = {
    "schedule.epochs": 10,
    "schedule.iterations_per_epoch": 10,
    "schedule.generator_steps": 2,
    "schedule.student_steps": 1,
}
"""200 generator steps and 100 student steps."""


@pytest.mark.parametrize("command", [["distill"], ["ablate", "table3"], ["search", "loss_weights", "--trials", "2"]])
def test_an_engine_that_this_machine_lacks_is_refused_before_any_work(run, tmp_path, command):
    store = tmp_path / "runs"
    given = [*command, "--dataset", "digits", "--store", str(store), "--device", "cpu"]
    refused(run(*given, "--engine", "graphs"), "`--engine graphs` must run on a CUDA device")
    both = run(*given, "--engine", "compile", "--checkpoint-activations")
    refused(both, "`--checkpoint-activations` must go with `--engine eager`")
    assert not store.exists()


@pytest.mark.parametrize("command", [["distill"], ["ablate", "table3"], ["search", "loss_weights", "--trials", "2"]])
def test_how_often_samples_are_kept_reaches_the_cells(run, tmp_path, monkeypatch, command):
    asked = []

    def refuse(execution, device):
        asked.append(execution.samples_every)
        raise ConfigError("enough")

    monkeypatch.setattr(harness.engines, "check_execution", refuse)
    given = [*command, "--dataset", "digits", "--store", str(tmp_path / "runs"), "--device", "cpu"]
    for extra in ([], ["--samples-every", "7"]):
        refused(run(*given, *extra), "enough")
    assert asked == [None, 7]


@pytest.fixture
def cell(store):
    """The full method's cell of table3 at the smoke budget, two epochs, prepared: (Store, id, Where)."""
    settings = parse_settings([*SMALL, "schedule.epochs=2"])
    request = expand(load_grid("table3"), dataset="digits", budget="smoke", seeds=(0,), settings=settings)
    opened = Store(store)
    prepared = prepare(request, store=opened, data_root=None, teacher=None, teacher_needed=True, cache=True)
    cell_id = prepared.plan.cells[-1].id
    prepare_cell(opened, prepared.cells[cell_id])
    return opened, cell_id, Where(opened.root, None, prepared.teachers, "cpu", 1)


class Stop(BaseException):
    """Stands for a kill between two epochs."""


def test_a_cell_that_changed_its_engine_half_way_records_both(cell, monkeypatch):
    store, cell_id, where = cell
    made = []

    def compiled(config, networks, *, graphs):
        made.append(graphs)
        return eager_passes(config, networks)

    monkeypatch.setattr(dfkd.learners, "compiled_passes", compiled)

    def stop(record):
        raise Stop

    with pytest.raises(Stop):
        run_cell(cell_id, where, report=stop)
    about = read_json(store.cell(cell_id) / "training.json")["environment"]
    assert (about["engine"], about["checkpoint_activations"]) == ("eager", False)
    kept = read_log(store.cell(cell_id))
    run_cell(cell_id, replace(where, execution=Execution("compile")))
    assert made == [False]
    assert read_json(store.cell(cell_id) / "result.json")["environment"]["engine"] == "eager+compile"
    assert read_log(store.cell(cell_id))[:1] == kept


def test_checkpointed_activations_leave_a_cells_numbers_alone(run, store, tmp_path):
    logs = []
    for extra in ([], ["--checkpoint-activations"]):
        own = shutil.copytree(store, tmp_path / f"own{len(extra)}")
        given = ["--dataset", "digits", "--budget", "smoke", "--store", str(own), *sets("schedule.epochs=1")]
        assert run("distill", *given, *extra)[0] == 0
        (folder,) = (own / "cells").iterdir()
        assert read_json(folder / "result.json")["environment"]["checkpoint_activations"] == bool(extra)
        logs.append(numbers(read_log(folder)))
    assert logs[0] == logs[1]


@pytest.fixture
def measured(monkeypatch):
    """Return ``measured(eager, compiled, first)``, which sets what steps take, and the list of what was measured."""
    taken = []

    def put(eager, compiled, first):
        def take(config, *, execution, **where):
            taken.append(execution.engine)
            seconds = eager if execution.engine == "eager" else compiled
            return Taken(first if execution.engine == "compile" else 0.0, Rates(seconds, cores=1.0))

        monkeypatch.setattr(harness.engines, "take_steps", take)
        monkeypatch.setattr(harness.engines, "cannot_compile", lambda device: None)

    return put, taken


def choice(tmp_path, *, epochs_done=0, engine="auto", **overrides):
    config = with_overrides(RunConfig(), STEPS | overrides)
    where = Where(tmp_path, None, {}, "cpu", 1, Execution(engine))
    return choose_engine(config, where, teacher=None, epochs_done=epochs_done)


def test_auto_counts_the_steps_that_are_left_and_the_time_of_compiling(tmp_path, measured):
    put, taken = measured
    # Eagerly 200 * 4 + 100 * 2 = 1000 s; compiled 200 * 3 + 100 * 1 + 120 = 820 s.
    put({"generator": 4.0, "student": 2.0}, {"generator": 3.0, "student": 1.0}, 120.0)
    found = choice(tmp_path)
    assert (found.engine, found.reason) == ("compile", "820 s are left with 120 s of compiling, 1000 s without")
    # With two of ten epochs left, 200 s against 140 + 120.
    assert choice(tmp_path, epochs_done=8).engine == "eager"
    assert taken == ["eager", "compile"]  # once for the shape, whatever the cell
    assert choice(tmp_path, seed=1).engine == "compile"
    assert taken == ["eager", "compile"]
    choice(tmp_path, **{"schedule.batch_size": 8})
    assert taken == ["eager", "compile"] * 2
    (one, _) = sorted((tmp_path / "cache" / "engines").glob("*.json"), key=lambda path: path.stat().st_mtime)
    assert json.loads(one.read_text())["compile"] == {
        "first_seconds": 120.0,
        "step_seconds": {"generator": 3.0, "student": 1.0},
    }


def test_auto_does_not_try_what_cannot_pay(tmp_path, measured, monkeypatch):
    put, taken = measured
    put({"generator": 1.0, "student": 1.0}, {"generator": 0.0, "student": 0.0}, 0.0)
    found = choice(tmp_path)  # 300 s
    assert (found.engine, found.reason) == ("eager", "300 s are left, too few to try compiling")
    assert taken == ["eager"]
    monkeypatch.setattr(harness.engines, "WORTH_TRYING", 10.0)
    monkeypatch.setattr(harness.engines, "cannot_compile", lambda device: "RuntimeError: no compiler")
    assert choice(tmp_path).reason == "compiling failed: RuntimeError: no compiler"
    monkeypatch.setattr(harness.engines, "cannot_compile", lambda device: None)
    assert choice(tmp_path).engine == "compile"  # a failure is not kept


def test_what_learns_from_real_images_runs_eagerly(tmp_path):
    assert choice(tmp_path, method="scratch", engine="compile").engine == "eager"
    assert choice(tmp_path, engine="compile").engine == "compile"


def test_what_auto_picked_is_told_in_a_line_a_reason(tmp_path):
    store = Store(tmp_path)
    for name, about in {
        "a": {"engine": "compile", "engine_reason": "820 s are left"},
        "b": {"engine": "compile", "engine_reason": "820 s are left"},
        "c": {"engine": "eager"},
    }.items():
        write_json(store.cell(name) / "result.json", {"environment": about})
    assert engine_sentences(store, "abcd") == ["Engine of 2 cells: compile, because 820 s are left."]


@pytest.mark.parametrize(
    ("ran", "asked", "alike"),
    [
        ({}, EAGER, True),
        ({"engine": "eager", "checkpoint_activations": False}, EAGER, True),
        ({"engine": "compile", "checkpoint_activations": False}, EAGER, False),
        ({"engine": "compile", "checkpoint_activations": False}, Execution("auto"), True),
        ({"engine": "eager+compile", "checkpoint_activations": False}, Execution("compile"), False),
        ({"engine": "eager", "checkpoint_activations": True}, EAGER, False),
    ],
)
def test_a_price_rests_on_cells_that_ran_in_the_same_way(tmp_path, ran, asked, alike):
    store, machine = Store(tmp_path), {"processor": "P", "device": "cpu", "threads": 1}
    flat = {"schedule.iterations_per_epoch": 1, "schedule.generator_steps": 1, "schedule.student_steps": 1}
    flat |= {"schedule.phases": "alternate", "schedule.epochs": 1}
    write_json(store.cell("one") / "config.json", {"numerics": 3, "config": flat})
    seconds = {"seconds": 2.0, "cpu_seconds": 2.0, "generator_step_seconds": 1.0, "student_step_seconds": 1.0}
    RunLog(store.cell("one")).append({"epoch": 1, **seconds})
    write_json(store.cell("one") / "result.json", {"environment": machine | ran})
    wanted = machine | {"engine": asked.engine, "checkpoint_activations": asked.checkpoint_activations}
    assert (shape_of(flat) in like_cells(store, [shape_of(flat)], machine=wanted, numerics=3)) == alike
