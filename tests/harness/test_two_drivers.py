"""Two ``dfkd ablate`` of the same grid at once, as processes: they share the cells, and none is run twice."""

import shutil
import subprocess
import sys

import pytest
from mlflow.tracking import MlflowClient

from harness.live import live_drivers
from harness.mirror import CELL_TAG, EXPERIMENT
from harness.records import read_log
from harness.store import Store
from small import sets

DFKD = [sys.executable, "-c", "from harness.cli.main import main; main()"]


def options(store):
    return ["table3", "--budget", "smoke", "--seeds", "0,1", "--store", str(store), *sets("schedule.student_steps=8")]


@pytest.mark.slow
def test_two_drivers_share_a_grid(store, tmp_path, teacher_store, run):
    command = [*DFKD, "ablate", *options(store), "--executor", "local"]
    drivers = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    outputs = [driver.communicate(timeout=250)[0] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0], outputs
    assert all("8 of 8 cells done" in output for output in outputs)
    folders = sorted((store / "cells").iterdir())
    assert [len(list((folder / "holders").iterdir())) for folder in folders].count(0) == 0
    for folder in folders:  # each epoch once, by one process
        epochs = [record["epoch"] for record in read_log(folder)]
        assert epochs == sorted(set(epochs))
    client = MlflowClient(f"sqlite:///{store / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
    assert sorted(run.data.tags[CELL_TAG] for run in runs) == [folder.name for folder in folders]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert live_drivers(Store(store)) == []
    alone = shutil.copytree(teacher_store, tmp_path / "alone")
    assert run("ablate", *options(alone), "--executor", "local")[0] == 0
    tables = [run("report", *options(root), "--format", "csv")[1] for root in (store, alone)]
    assert tables[0] == tables[1]
