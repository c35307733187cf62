"""MLflow mirrors the store: one run a cell, however often it is synced, and nothing is lost when it is away."""

import shutil
import sqlite3

import pytest
from mlflow.tracking import MlflowClient

from harness.mirror import CELL_TAG, EXPERIMENT, Mirror, default_uri
from harness.records import Plan, PlannedCell, write_json
from harness.store import RunLog, Store

ENVIRONMENT = {"torch": "x"}
RESULT = {"last": 0.5, "seconds": 3.0, "environment": ENVIRONMENT, "finished": 1000.0}


@pytest.fixture
def mirrored(tmp_path, mlflow_template):
    """A store with one started cell ``a`` and one untouched cell ``b``, its plan, and a client of its MLflow file."""
    shutil.copy(mlflow_template, tmp_path / "mlflow.db")
    store = Store(tmp_path)
    for name in ("a", "b"):
        config = {"seed": 0, "student.architecture": "resnet8"}
        content = {"config": config, "teacher_hash": "t", "test_fingerprint": "f", "numerics": 1}
        write_json(store.cell(name) / "config.json", content)
    RunLog(store.cell("a")).append({"epoch": 1, "time": 10.0, "test_accuracy": 0.25})
    cells = (PlannedCell("a", "A", 0), PlannedCell("b", "B", 0))
    plan = Plan("k", "g", "t", ("A", "B"), "A", (0,), cells, {})
    return store, plan, MlflowClient(default_uri(store))


def runs(client):
    experiment = client.get_experiment_by_name(EXPERIMENT)
    return client.search_runs([experiment.experiment_id])


def test_a_cell_is_one_run_from_its_start_to_its_end(mirrored):
    store, plan, client = mirrored
    mirror = Mirror(default_uri(store), store)
    mirror.sync(plan.ids, plan)
    (run,) = runs(client)  # b never started
    assert (run.info.status, run.data.tags[CELL_TAG], run.data.params["seed"]) == ("RUNNING", "a", "0")

    RunLog(store.cell("a")).append({"epoch": 2, "time": 20.0, "test_accuracy": 0.5})
    write_json(store.cell("a") / "result.json", RESULT)
    mirror.sync(plan.ids, plan)
    (run,) = runs(client)
    assert (run.info.status, run.data.metrics["result.last"]) == ("FINISHED", 0.5)
    assert run.data.tags["dfkd.grid.g"] == "1"
    history = client.get_metric_history(run.info.run_id, "test_accuracy")
    assert [(m.step, m.value, m.timestamp) for m in history] == [(1, 0.25, 10_000), (2, 0.5, 20_000)]


def test_syncing_again_from_another_process_changes_nothing(mirrored):
    store, plan, client = mirrored
    write_json(store.cell("a") / "result.json", RESULT)
    for _ in range(2):
        Mirror(default_uri(store), store).sync(plan.ids, plan)
    (run,) = runs(client)
    assert len(client.get_metric_history(run.info.run_id, "test_accuracy")) == 1
    assert len(client.get_metric_history(run.info.run_id, "result.last")) == 1


def test_all_that_is_new_of_a_cell_is_written_in_one_batch(mirrored, monkeypatch):
    store, plan, _ = mirrored
    write_json(store.cell("a") / "result.json", RESULT)
    mirror = Mirror(default_uri(store), store)
    mirror.sync((), plan)  # the plan's own run
    batches = []
    log_batch = MlflowClient.log_batch
    monkeypatch.setattr(MlflowClient, "log_batch", lambda *args, **more: batches.append(log_batch(*args, **more)))
    mirror.sync(plan.ids, plan)
    assert len(batches) == 1


def test_a_failed_cell_that_succeeds_later_is_the_same_run(mirrored):
    store, plan, client = mirrored
    write_json(store.cell("a") / "failure.json", {"error": "E: x", "traceback": "..."})
    Mirror(default_uri(store), store).sync(plan.ids, plan)
    (failed,) = runs(client)
    assert (failed.info.status, failed.data.tags["dfkd.error"]) == ("FAILED", "E: x")
    store.forget_failure("a")
    Mirror(default_uri(store), store).sync(plan.ids, plan)
    assert runs(client)[0].info.status == "RUNNING"
    write_json(store.cell("a") / "result.json", RESULT)
    Mirror(default_uri(store), store).sync(plan.ids, plan)
    (done,) = runs(client)
    assert (done.info.run_id, done.info.status) == (failed.info.run_id, "FINISHED")


def test_a_cell_that_is_run_again_by_other_code_gets_a_run_of_its_own(mirrored):
    store, plan, client = mirrored
    write_json(store.cell("a") / "result.json", RESULT)
    Mirror(default_uri(store), store).sync(plan.ids, plan)
    store.set_aside("a")
    RunLog(store.cell("a")).append({"epoch": 1, "time": 30.0, "test_accuracy": 0.75})
    for _ in range(2):
        Mirror(default_uri(store), store).sync(plan.ids, plan)
    tags = {run.data.tags[CELL_TAG]: run for run in runs(client)}
    assert set(tags) == {"a", "a (former)"}
    assert (tags["a"].info.status, tags["a (former)"].info.status) == ("RUNNING", "FINISHED")
    history = client.get_metric_history(tags["a"].info.run_id, "test_accuracy")
    assert [metric.value for metric in history] == [0.75]


def test_a_second_grid_adds_its_tag_to_the_same_run(mirrored):
    store, plan, client = mirrored
    write_json(store.cell("a") / "result.json", RESULT)
    Mirror(default_uri(store), store).sync(plan.ids, plan)
    Mirror(default_uri(store), store).sync(plan.ids, Plan(**{**vars(plan), "grid": "h"}))
    (run,) = runs(client)
    assert {"dfkd.grid.g", "dfkd.grid.h"} <= run.data.tags.keys()


def test_artifacts_of_a_file_stay_with_the_store(mirrored, monkeypatch, tmp_path):
    store, plan, client = mirrored
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (store.cell("a") / "samples").mkdir()
    for name in ("samples.png", "samples/epoch-0001.jpg"):
        (store.cell("a") / name).write_bytes(b"png")
    write_json(store.cell("a") / "result.json", RESULT)
    Mirror(default_uri(store), store).sync(plan.ids, plan)
    (run,) = runs(client)
    assert run.info.artifact_uri.startswith("file://")
    listed = [*client.list_artifacts(run.info.run_id), *client.list_artifacts(run.info.run_id, "samples")]
    assert {artifact.path for artifact in listed} == {"samples.png", "samples", "samples/epoch-0001.jpg"}
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_sqlite_is_put_into_its_write_ahead_log(mirrored):
    store, _, _ = mirrored
    Mirror(default_uri(store), store)
    with sqlite3.connect(store.root / "mlflow.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
