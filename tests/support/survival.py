"""What the tests of chaos ask of a grid and of a search, and what must hold of them in the end."""

import os
from pathlib import Path

import optuna
from mlflow.tracking import MlflowClient
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

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


SPACE = """
[parameters]
"student.learning_rate" = { choices = [0.01, 0.02, 0.04, 1e30] }
"student_loss.mhad.weight" = { low = 0.0, high = 100.0, step = 1.0 }
"""
"""With the last rate the loss becomes NaN."""


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


def searching(store, space, *, trials=4, epochs=2, sampler="random", settings=()):
    """Return the arguments of a search over ``SPACE``."""
    schedule = (f"schedule.epochs={epochs}", "schedule.iterations_per_epoch=2")
    sought = ["--trials", str(trials), "--objectives", "agreement", "--sampler", sampler, "--seed", "1"]
    return ["search", str(space), *sought, "--budget", "smoke", "--store", str(store), *sets(*schedule, *settings)]


def trials_of(store):
    """Return the trials of the store's one study."""
    (path,) = store.glob("studies/*/journal.log")
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(path)))
    (study,) = optuna.study.get_all_study_summaries(storage)
    return optuna.load_study(study_name=study.study_name, storage=storage).trials


def whole_search(store, undisturbed):
    """Assert what must hold in the end; the suggestions are those of the undisturbed search."""
    found, expected = trials_of(store), trials_of(undisturbed)
    assert [(t.params, t.state, t.values) for t in found] == [(t.params, t.state, t.values) for t in expected]
    assert {t.state for t in found} == {TrialState.COMPLETE, TrialState.FAIL}  # one rate is too high
    chaos.epochs_are_whole(store)
    cells = {t.user_attrs["cell"] for t in found}
    assert {Store(store).read(cell_id).status for cell_id in cells} == {"done", "diverged"}
    client = MlflowClient(f"sqlite:///{store / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
    assert sorted(run.data.tags[CELL_TAG] for run in runs if CELL_TAG in run.data.tags) == sorted(cells)
