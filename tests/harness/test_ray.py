"""End to end through Ray Tune: teacher, table3 as trials, MLflow, table; the numbers of a local run; a dying worker."""

import json

import pytest
from mlflow.tracking import MlflowClient

from dfkd.distill import TIMINGS
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


def test_a_worker_that_dies_is_a_failed_cell_and_the_rest_go_on(run, store, monkeypatch):
    from harness.executors import tune

    store_of = Store(store)
    plan = json.loads(run("plan", "table3", *options(store), "--json")[1])
    victim = plan["planned"][0]["cell"]
    monkeypatch.setattr(tune, "run_cell", Dies(victim))
    status, _, stderr = run("ablate", "table3", *options(store))
    assert status == 1
    assert "ended without a word" in store_of.read(victim).failure["error"]
    assert "failed: Baseline, seed 0" in stderr
    assert json.loads(run("status", "--store", str(store), "--json")[1])["done"] == 7


class Dies:
    """run_cell, but the process of one cell is killed at once, as the system kills one that takes all memory."""

    def __init__(self, victim):
        self.victim = victim

    def __call__(self, cell_id, where, *, report):
        import os
        import signal

        from harness.cells import run_cell

        if cell_id == self.victim:
            os.kill(os.getpid(), signal.SIGKILL)
        run_cell(cell_id, where, report=report)
