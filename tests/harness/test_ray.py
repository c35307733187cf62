"""End to end through Ray Tune: teacher, table3 as trials, MLflow, table; the numbers of a local run; a dying worker."""

import os
import shutil
import signal
import sys
from dataclasses import replace

import pytest
import torch
from mlflow.tracking import MlflowClient

import harness.executors.tune
from harness.cells import prepare_cell, run_cell
from harness.driver import prepare
from harness.executors.tune import run_ray
from harness.inputs import Where
from harness.layers import parse_settings
from harness.leases import last_holder
from harness.mirror import CELL_TAG, EXPERIMENT
from harness.plan import expand
from harness.records import read_log
from harness.room import Room
from harness.store import Store
from records import numbers
from search_spaces import load_grid
from small import SMALL, sets

pytestmark = pytest.mark.usefixtures("ray_session")


def options(store, *extra):
    return ["--budget", "smoke", "--seeds", "0,1", "--store", str(store), *sets(), *extra]


def logs(store):
    return {path.name: numbers(read_log(path)) for path in sorted((store / "cells").iterdir())}


@pytest.mark.slow
def test_table3_then_table4_through_ray(run, store, tmp_path, teacher_store):
    status, output, _ = run("ablate", "table3", *options(store))
    assert status == 0, output
    assert "8 of 8 cells done" in output
    status, output, _ = run("ablate", "table4", *options(store))
    assert status == 0, output
    # five rows by two seeds, of which 5e-2 is table3's full method
    assert "10 distinct cells: 2 done, 0 running, 8 to do" in output

    client = MlflowClient(f"sqlite:///{store / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    cells = [run.data.tags[CELL_TAG] for run in runs]
    assert len(cells) == len(set(cells)) == 16
    assert set(cells) == {path.name for path in (store / "cells").iterdir()}

    local = tmp_path / "local"
    shutil.copytree(teacher_store, local)
    run("ablate", "table3", *options(local), "--executor", "local")
    through_ray = logs(store)
    assert all(through_ray[cell] == records for cell, records in logs(local).items())
    csv = [run("report", "table3", *options(root), "--format", "csv")[1] for root in (store, local)]
    assert csv[0] == csv[1]


def test_two_cells_in_one_actor_are_the_same_cells_in_fresh_ones(store, tmp_path):
    settings = parse_settings([*SMALL, "schedule.epochs=2"])
    request = expand(load_grid("table3"), dataset="digits", budget="smoke", seeds=(0,), settings=settings)
    opened = Store(store)
    prepared = prepare(request, store=opened, data_root=None, teacher=None, teacher_needed=True, cache=True)
    ids = list(prepared.cells)[-2:]
    for cell_id in ids:
        prepare_cell(opened, prepared.cells[cell_id])
    other = Store(shutil.copytree(store, tmp_path / "fresh"))
    where = Where(opened.root, None, prepared.teachers, "cpu", 1)
    run_ray(ids, where, Room(1, 0, workers=1))
    for cell_id in ids:  # a Tuner of its own, and so an actor of its own, for each
        run_ray([cell_id], replace(where, store=other.root), Room(1, 0))
    assert logs(store) == logs(other.root)
    for cell_id in ids:
        assert len({holder_of(opened, each) for each in ids}) == 1  # one process
        students = [torch.load(each.cell(cell_id) / "student.pt")["state"] for each in (opened, other)]
        assert all(torch.equal(students[0][name], students[1][name]) for name in students[0])
    assert len({holder_of(other, each) for each in ids}) == 2


def holder_of(store, cell_id):
    return last_holder(store.cell(cell_id)).pid


def trial_whose_first_cell_kills_its_worker(config, *, where, share, patience):
    """Stand in for ``tune._trial``: the system kills the process of one cell, as it does for want of memory."""
    cells = sorted(path.name for path in (where.store / "cells").iterdir())
    if config["cell"] == cells[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    run_cell(config["cell"], where, report=lambda record: None)


@pytest.mark.slow
def test_a_worker_that_dies_is_a_failed_cell_and_the_rest_go_on(run, store, monkeypatch):
    import ray

    # Workers cannot import a test module, so the function travels by value.
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setattr(harness.executors.tune, "_trial", trial_whose_first_cell_kills_its_worker)
    status, output, stderr = run("ablate", "table3", *options(store), "--retries", "1")
    victim = min(path.name for path in (store / "cells").iterdir())
    assert status == 1
    assert "7 of 8 cells done" in output
    assert "ended without a word" in Store(store).read(victim).failure["error"]
    assert "ended without a word" in stderr
    assert Store(store).read(victim).failure["attempts"] == 2
    monkeypatch.undo()
    status, output, stderr = run("ablate", "table3", *options(store), "--retries", "1")
    assert (status, "quarantined after 2 attempts" in stderr) == (1, True)  # it is left alone
    status, output, _ = run("ablate", "table3", *options(store), "--release")
    assert (status, "8 of 8 cells done" in output) == (0, True)
