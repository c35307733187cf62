"""``dfkd rebuild`` makes MLflow and the journals of studies anew from the store; ``dfkd ui`` shows MLflow."""

import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import optuna
import pytest
from mlflow.tracking import MlflowClient
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

import harness.mirror
from harness.mirror import CELL_TAG, EXPERIMENT
from outcome import refused
from small import sets

DFKD = [sys.executable, "-c", "from harness.cli.main import main; main()"]

SPACE = """
[parameters]
"student_loss.mhad.weight" = { low = 0.0, high = 100.0, step = 1.0 }
"""


@pytest.fixture
def quick_database(monkeypatch, mlflow_template):
    """Let a new database be a copy of the template."""

    def copy(uri):
        path = uri.removeprefix("sqlite:///")
        if not harness.mirror.Path(path).exists():
            shutil.copy(mlflow_template, path)

    monkeypatch.setattr(harness.mirror, "_use_write_ahead_log", copy)


def trials(store):
    (journal,) = (store / "studies").glob("*/journal.log")
    storage = JournalStorage(JournalFileBackend(str(journal)))
    study = optuna.load_study(study_name=optuna.get_all_study_names(storage)[0], storage=storage)
    return [(trial.state, trial.params, trial.values, trial.user_attrs["cell"]) for trial in study.trials]


def test_mlflow_and_the_study_come_back(run, store, tmp_path, quick_database):
    (tmp_path / "one.toml").write_text(SPACE)
    search = ["search", str(tmp_path / "one.toml"), "--budget", "smoke", "--objectives", "agreement", *sets()]
    # MLflow keeps a database that it has opened: the store's own is opened by the rebuilding alone.
    elsewhere = ["--tracking-uri", f"sqlite:///{tmp_path / 'elsewhere.db'}"]
    place = ["--store", str(store), "--executor", "local", *elsewhere]
    status, output, _ = run(*search, *place, "--trials", "3")
    assert status == 0, output
    before = trials(store)
    (store / "mlflow.db").write_bytes(b"damaged")
    status, output, stderr = run("rebuild", "--store", str(store))
    assert status == 0, stderr
    assert "3 trials from the store" in output
    assert trials(store) == before
    client = MlflowClient(f"sqlite:///{store / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
    (search_run,) = (run for run in runs if CELL_TAG not in run.data.tags)
    cells = {run.data.tags[CELL_TAG]: run for run in runs if run is not search_run}
    assert cells.keys() == {cell for *_, cell in before}
    assert {run.data.tags["mlflow.parentRunId"] for run in cells.values()} == {search_run.info.run_id}
    assert len(list(store.glob("mlflow.db.before-*"))) == len(list(store.glob("studies/*/journal.log.before-*"))) == 1
    status, output, _ = run(*search, *place, "--trials", "4")  # the search goes on from what was made anew
    assert (status, trials(store)[:3]) == (0, before)
    assert "4 trials: " in output


def test_there_must_be_something_to_show(run, store, tmp_path):
    (store / "mlflow.db").unlink()
    refused(run("ui", "--store", str(store)), "mlflow sync", str(store))
    refused(run("ui", "--store", str(tmp_path / "none")), str(tmp_path / "none"))


def test_a_port_that_is_taken_is_refused(run, store):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        refused(run("ui", "--store", str(store), "--port", str(port)), "--port", str(port))


@pytest.mark.slow
def test_the_pages_open_on_loopback_and_ctrl_c_ends_them(store):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [*DFKD, "ui", "--store", str(store), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert f"http://127.0.0.1:{port}" in process.stdout.readline()
    deadline = time.monotonic() + 240
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
                assert answer.status == 200
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(1)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "MLflow has ended." in output
    assert "Traceback" not in errors
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))  # nobody listens there any more
