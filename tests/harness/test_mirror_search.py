"""A search in MLflow is one run with its trials beneath it, however often it is written."""

import shutil
from dataclasses import replace

import pytest
from mlflow.tracking import MlflowClient

from harness.mirror import CELL_TAG, EXPERIMENT, Mirror, default_uri
from harness.mirror_search import PARENT_TAG, SEARCH_TAG
from harness.records import Plan, PlannedCell, write_json
from harness.store import RunLog, Store

RESULT = {"last": 0.5, "seconds": 3.0, "environment": {"torch": "x"}, "finished": 1000.0}
TRIALS = [
    {"index": 0, "cell": "a", "state": "done", "values": [0.7], "time": 5000},
    {"index": 1, "cell": "b", "state": "stopped", "values": None, "time": 6000},
    {"index": 2, "cell": "a", "state": "done", "values": [0.7], "time": 7000},
]
SEARCH = {"study": "weights-1", "space": "weights", "objectives": ["accuracy"], "seed": 0}
SEARCH |= {"parameters": {"student_loss.mhad.weight": "0 to 100"}, "trials": TRIALS, "ended": None}


@pytest.fixture
def searched(tmp_path, mlflow_template):
    """A store with a finished cell ``a`` and a stopped one ``b``, the plan of their search, and a client."""
    shutil.copy(mlflow_template, tmp_path / "mlflow.db")
    store = Store(tmp_path)
    for name in ("a", "b"):
        content = {"config": {"seed": 0}, "teacher_hash": "t", "test_fingerprint": "f", "numerics": 1}
        write_json(store.cell(name) / "config.json", content)
        RunLog(store.cell(name)).append({"epoch": 1, "time": 10.0, "test_accuracy": 0.25})
    write_json(store.cell("a") / "result.json", RESULT)
    cells = (PlannedCell("a", "trial 0", 0), PlannedCell("b", "trial 1", 0), PlannedCell("a", "trial 2", 0))
    rows = tuple(cell.row for cell in cells)
    plan = Plan("weights-1", "search-weights", "t", rows, rows[0], (0,), cells, {"search": SEARCH})
    return store, plan, MlflowClient(default_uri(store))


def ended(plan):
    return replace(plan, context={"search": {**plan.context["search"], "ended": "3 trials: 1 run"}})


def runs(client):
    """Return the parents, and the runs of cells by cell."""
    found = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
    cells = {run.data.tags[CELL_TAG]: run for run in found if CELL_TAG in run.data.tags}
    parents = [run for run in found if CELL_TAG not in run.data.tags]
    assert len(cells) + len(parents) == len(found)
    return parents, cells


def test_trials_hang_under_one_run_however_often_it_is_written(searched):
    store, plan, client = searched
    for _ in range(2):  # as two invocations would
        mirror = Mirror(default_uri(store), store)
        mirror.sync(plan.ids, plan)
        mirror.sync(plan.ids, plan)
    (parent,), cells = runs(client)
    assert (parent.info.status, parent.info.run_name) == ("RUNNING", "search weights")
    assert parent.data.params["space.student_loss.mhad.weight"] == "0 to 100"
    history = client.get_metric_history(parent.info.run_id, "accuracy")
    assert [(metric.step, metric.value, metric.timestamp) for metric in history] == [(0, 0.7, 5000), (2, 0.7, 7000)]
    assert {run.data.tags[PARENT_TAG] for run in cells.values()} == {parent.info.run_id}
    assert cells["a"].data.tags[f"{SEARCH_TAG}.weights-1"] == "trial 0, 2"
    assert {name: run.info.status for name, run in cells.items()} == {"a": "FINISHED", "b": "KILLED"}
    Mirror(default_uri(store), store).sync(plan.ids, ended(plan))
    (parent,), _ = runs(client)
    assert (parent.info.status, parent.data.tags[f"{SEARCH_TAG}.summary"]) == ("FINISHED", "3 trials: 1 run")


def test_a_grid_completes_a_stopped_run_and_another_search_takes_no_trial_away(searched):
    store, plan, client = searched
    Mirror(default_uri(store), store).sync(plan.ids, plan)
    (parent,), _ = runs(client)
    write_json(store.cell("b") / "result.json", RESULT)
    grid = Plan("k", "g", "t", ("B",), "B", (0,), (PlannedCell("b", "B", 0),), {})
    Mirror(default_uri(store), store).sync(grid.ids, grid)
    other = replace(plan, key="other", context={"search": {**SEARCH, "study": "other-2"}})
    Mirror(default_uri(store), store).sync(other.ids, other)
    parents, cells = runs(client)
    assert len(parents) == 2
    assert cells["b"].info.status == "FINISHED"
    assert cells["b"].data.tags[PARENT_TAG] == parent.info.run_id
    assert cells["b"].data.tags[f"{SEARCH_TAG}.other-2"] == "trial 1"
