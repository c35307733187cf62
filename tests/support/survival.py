"""What the tests of chaos ask of a grid, and what must hold of it in the end."""

import os
from pathlib import Path

from mlflow.tracking import MlflowClient

import chaos
from harness.mirror import CELL_TAG, EXPERIMENT
from harness.records import read_plans
from harness.store import Store
from small import sets

GRID = """
title = "Chaos"
reference = "full"
[[row]]
name = "full"
[[row]]
name = "no mhad"
set = { "student_loss.mhad.weight" = 0.0 }
[[row]]
name = "no sfcl"
set = { "student_loss.sfcl.weight" = 0.0 }
[[row]]
name = "too fast"
set = { "student.learning_rate" = 1e30 }
"""
"""Three rows that train, and one whose loss becomes NaN."""


def options(store, grid, *, seeds="0", epochs=3):
    """Return the arguments behind `dfkd ablate`."""
    schedule = (f"schedule.epochs={epochs}", "schedule.iterations_per_epoch=2")
    return [str(grid), "--budget", "smoke", "--seeds", seeds, "--store", str(store), *sets(*schedule)]


def environment(faults=None):
    """Return the environment of a driver, which has the ``faults`` of a file."""
    support = str(Path(chaos.__file__).parent)
    path = os.pathsep.join([support, os.environ.get("PYTHONPATH", ""), os.getcwd()])
    return {**os.environ, "PYTHONPATH": path, "RAY_ADDRESS": "", **({"CHAOS": str(faults)} if faults else {})}


def whole(store, grid, run, undisturbed, **grown):
    """Assert what must hold in the end."""
    (plan,) = read_plans(store)
    cells = Store(store)
    states = {row: [cells.read(cell.id).status for cell in plan.cells if cell.row == row] for row in plan.rows}
    assert all(set(found) == {"diverged" if row == "too fast" else "done"} for row, found in states.items()), states
    chaos.epochs_are_whole(store)
    client = MlflowClient(f"sqlite:///{store / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
    assert sorted(run.data.tags[CELL_TAG] for run in runs) == sorted(plan.ids)
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert run("ablate", *options(undisturbed, grid, **grown), "--executor", "local")[0] == 0
    tables = [run("report", *options(root, grid, **grown), "--format", "csv")[1] for root in (store, undisturbed)]
    assert tables[0] == tables[1]
