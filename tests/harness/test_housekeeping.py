"""``dfkd gc``, ``dfkd mlflow sync`` and ``dfkd status --watch``."""

import os
import shutil

import pytest
from mlflow.tracking import MlflowClient

import harness.cli.gc
import harness.cli.status
from harness.cleaning import OLD, delete, leftovers
from harness.mirror import CELL_TAG, EXPERIMENT
from harness.records import Plan, PlannedCell, write_json, write_plan
from harness.store import RunLog, Store
from outcome import refused

RESULT = {"last": 0.5, "seconds": 3.0, "environment": {"torch": "x"}, "finished": 1000.0}


@pytest.fixture
def store(tmp_path):
    """Cells ``done`` (killed before its state was dropped), ``open`` (two epochs to go), and a teacher half-written."""
    for cell in ("done", "open"):
        write_json(tmp_path / "cells" / cell / "config.json", {"config": {}, "teacher_hash": "t", "numerics": 1})
        RunLog(Store(tmp_path).cell(cell)).append({"epoch": 1, "time": 10.0, "test_accuracy": 0.25})
        for name in ("state.pt", "training.json", ".samples.png.7.part"):
            (tmp_path / "cells" / cell / name).write_bytes(b"12345678")
    write_json(tmp_path / "cells/done/result.json", RESULT)
    (tmp_path / "cells/done/student.pt").write_bytes(b"weights")
    (tmp_path / "teachers/t").mkdir(parents=True)
    for name, age in ((".old.pt.7.part", OLD + 60), (".new.pt.8.part", 0)):
        path = tmp_path / "teachers/t" / name
        path.write_bytes(b"1234")
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    for grid, cells in (("g", ("done", "open")), ("h", ("done",))):
        planned = tuple(PlannedCell(cell, cell, 0) for cell in cells)
        context = {"dataset": "D", "budget": "b"}
        write_plan(tmp_path, Plan(grid, grid, "t", cells, "done", (0,), planned, context))
    return Store(tmp_path)


DELETED = {
    "cells/done/state.pt",
    "cells/done/training.json",
    "cells/done/.samples.png.7.part",
    "cells/open/.samples.png.7.part",
    "teachers/t/.old.pt.7.part",
}


def files(store):
    found = {str(path.relative_to(store.root)) for path in store.root.rglob("*") if path.is_file()}
    return {path for path in found if not {"lease", "holders"} & set(path.split("/"))}


class TestCleaning:
    def test_a_dry_run_lists_and_keeps(self, run, store):
        before = files(store)
        status, output, _ = run("gc", "--store", str(store.root))
        assert status == 0
        assert all(path in output for path in DELETED)
        assert "5 files, 0.00 MiB, that nobody needs. Nothing was deleted: `dfkd gc --yes` deletes them." in output
        assert files(store) == before

    def test_what_nobody_needs_is_deleted_and_nothing_else(self, run, store):
        before = files(store)
        status, output, _ = run("gc", "--store", str(store.root), "--yes")
        assert (status, "Deleted 5 files" in output) == (0, True)
        assert before - files(store) == DELETED
        assert "0 files" in run("gc", "--store", str(store.root))[1]

    def test_a_running_cell_is_not_touched(self, store):
        found = [leftover for leftover in leftovers(store) if leftover.cell == "open"]
        with store.lease("open", patience=0):
            assert not [leftover for leftover in leftovers(store) if leftover.cell == "open"]
            assert [delete(store, leftover) for leftover in found] == [False]  # it began after the list was made
        assert found[0].path.exists()

    def test_a_store_that_is_not_there(self, run, tmp_path):
        for command in (["gc"], ["mlflow", "sync"]):
            refused(run(*command, "--store", str(tmp_path / "none")), str(tmp_path / "none"), "--store")
        assert not (tmp_path / "none").exists()


class TestSync:
    def test_after_an_outage_every_cell_is_one_run_with_all_its_grids(self, run, store, mlflow_template):
        shutil.copy(mlflow_template, store.root / "mlflow.db")
        for _ in range(2):
            status, output, _ = run("mlflow", "sync", "--store", str(store.root))
            assert status == 0
            assert "2 cells of 2 grids are in MLflow" in output
        client = MlflowClient(f"sqlite:///{store.root / 'mlflow.db'}")
        runs = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
        tags = {run.data.tags[CELL_TAG]: {tag for tag in run.data.tags if ".grid." in tag} for run in runs}
        assert len(runs) == 2
        assert tags == {"done": {"dfkd.grid.g", "dfkd.grid.h"}, "open": {"dfkd.grid.g"}}

    def test_mlflow_out_of_reach_is_said(self, run, store):
        uri = f"sqlite:///{store.root}/no/such/../../teachers"  # a folder
        refused(run("mlflow", "sync", "--store", str(store.root), "--tracking-uri", uri), uri, "Nothing is lost")


class TestWatch:
    def test_it_looks_again_until_ctrl_c(self, run, store, monkeypatch):
        looks = []

        def sleep(seconds):
            looks.append(seconds)
            if len(looks) == 3:
                raise KeyboardInterrupt

        monkeypatch.setattr(harness.cli.status.time, "sleep", sleep)
        write_json(store.cell("open") / "failure.json", {"error": "E: [x]"})
        status, output, _ = run("status", "--watch", "--store", str(store.root))
        assert (status, len(looks)) == (0, 3)
        assert "2 distinct cells: 1 done, 0 running, 1 to do (1 failed before)." in output
        assert "1 are of unknown code" in output
        assert "failed: cells/open: E: [x]" in output

    def test_json_is_printed_once(self, run, store):
        refused(run("status", "--watch", "--json", "--store", str(store.root)), "--watch", "--json")
