"""End to end through Ray Tune: teacher, table3 as trials, MLflow, table; the numbers of a local run; a dying worker."""

import os
import signal
import sys

import pytest
from mlflow.tracking import MlflowClient

import harness.executors.tune
from dfkd.loop import TIMINGS
from harness.cells import run_cell
from harness.mirror import CELL_TAG, EXPERIMENT
from harness.records import read_log
from harness.store import Store
from small import sets

pytestmark = pytest.mark.usefixtures("ray_session")


def options(store, *extra):
    return ["--budget", "smoke", "--seeds", "0,1", "--store", str(store), *sets(), *extra]


def logs(store):
    return {
        path.name: [{k: v for k, v in record.items() if k not in TIMINGS} for record in read_log(path)]
        for path in sorted((store / "cells").iterdir())
    }


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
    import shutil

    shutil.copytree(teacher_store, local)
    run("ablate", "table3", *options(local), "--executor", "local")
    through_ray = logs(store)
    assert all(through_ray[cell] == records for cell, records in logs(local).items())
    csv = [run("report", "table3", *options(root), "--format", "csv")[1] for root in (store, local)]
    assert csv[0] == csv[1]


def trial_whose_first_cell_kills_its_worker(config, *, where):
    """Stand in for ``tune._trial``: the system kills the process of one cell, as it does for want of memory."""
    cells = sorted(path.name for path in (where.store / "cells").iterdir())
    if config["cell"] == cells[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    run_cell(config["cell"], where, report=lambda record: None)


def test_a_worker_that_dies_is_a_failed_cell_and_the_rest_go_on(run, store, monkeypatch):
    import ray

    # Workers cannot import a test module, so the function travels by value.
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setattr(harness.executors.tune, "_trial", trial_whose_first_cell_kills_its_worker)
    status, output, stderr = run("ablate", "table3", *options(store))
    victim = min(path.name for path in (store / "cells").iterdir())
    assert status == 1
    assert "7 of 8 cells done" in output
    assert "ended without a word" in Store(store).read(victim).failure["error"]
    assert "ended without a word" in stderr
    monkeypatch.undo()
    status, output, _ = run("ablate", "table3", *options(store))
    assert (status, "8 of 8 cells done" in output) == (0, True)
