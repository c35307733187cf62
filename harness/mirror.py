"""MLflow as a mirror of the store: one writer, in the driver; one run per cell, found by the cell's id; idempotent.

Everything is read from the store, so the mirror can fail, be deleted, or be pointed elsewhere, and nothing is lost.
"""

import logging
import os
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from harness.leases import HeldError, hold
from harness.mirror_batch import Batch
from harness.mirror_search import SearchRun, stopped_cells
from harness.plan import digest
from harness.records import (
    CELL_TAG,
    CONFIG_TAG,
    DIVERGED_TAG,
    ERROR_TAG,
    EXPERIMENT,
    MLFLOW_ENVIRONMENT,
    PLAN_TAG,
    PLANS_EXPERIMENT,
    RESULT_TAG,
    CellRecord,
    Plan,
    plan_record,
    read_log,
    to_tags,
)
from harness.store import Store, StoreError, cell_config

FORMER_TAG = "dfkd.former"
"""How many results of the cell were set aside before this run."""


def default_uri(store: Store) -> str:
    """Return the tracking URI of the store's own SQLite file."""
    return f"sqlite:///{store.root / 'mlflow.db'}"


def _use_write_ahead_log(uri: str) -> None:
    """Switch an SQLite file to its write-ahead log before MLflow opens it: several times faster, and it stays so."""
    if uri.startswith("sqlite:///"):
        path = Path(uri.removeprefix("sqlite:///"))
        path.parent.mkdir(parents=True, exist_ok=True)
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        connection.close()


class Mirror:
    """Writes cells to MLflow. Not thread-safe: one thread uses it at a time."""

    def __init__(self, uri: str, store: Store, *, checkpoints: bool = False) -> None:
        for name, value in MLFLOW_ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        _use_write_ahead_log(uri)
        from mlflow.tracking import MlflowClient  # here, because it takes a second

        for name in ("mlflow", "alembic"):  # after the import, which sets levels of its own
            logging.getLogger(name).setLevel(logging.ERROR)
        self._store, self._checkpoints = store, checkpoints
        self._client = MlflowClient(tracking_uri=uri)
        # A server has a place of its own for artifacts; a bare database would take the working directory.
        bare = uri.startswith(("sqlite", "postgresql", "mysql", "mssql"))
        self._artifacts = (store.root / "mlflow-artifacts").as_uri() if bare else None
        self._experiment, self._plans = (self._experiment_id(name) for name in (EXPERIMENT, PLANS_EXPERIMENT))
        self._runs: dict[str, str] = {}
        self._logged: dict[str, int] = {}
        self._finished: set[str] = set()
        self._failed: dict[str, float] = {}
        self._tagged: set[tuple[str, str]] = set()
        self._searches: dict[str, SearchRun] = {}
        self._logged_plans: dict[str, Plan] = {}
        self._lease = ExitStack()

    @classmethod
    def hold(cls, uri: str, store: Store, *, checkpoints: bool = False) -> "Mirror | None":
        """Return a mirror that is the only one of this store at ``uri`` until it is closed.

        None if another process holds it, which then writes the plans of all live drivers.
        """
        with ExitStack() as stack:
            try:
                stack.enter_context(hold(store.root / "mirrors" / digest(uri), patience=0))
            except HeldError:
                return None
            mirror = cls(uri, store, checkpoints=checkpoints)
            mirror._lease = stack.pop_all()
        return mirror

    def close(self) -> None:
        """Let another process write."""
        self._lease.close()

    def _experiment_id(self, name: str) -> str:
        """Return the experiment's id; it is made if it is not there."""
        experiment = self._client.get_experiment_by_name(name)
        if experiment is None:
            return self._client.create_experiment(name, artifact_location=self._artifacts)
        return experiment.experiment_id

    def _log_plan(self, plan: Plan) -> None:
        """Write the plan as the tags of a run of its own, so that a table needs nothing but MLflow."""
        found = self._client.search_runs([self._plans], f"tags.`{PLAN_TAG}` = '{plan.key}'", max_results=1)
        if found:
            run = found[0].info.run_id
        else:
            run = self._client.create_run(self._plans, tags={PLAN_TAG: plan.key}, run_name=plan.grid).info.run_id
            self._client.set_terminated(run, "FINISHED")
        batch = Batch()
        batch.add_tags(to_tags(PLAN_TAG, plan_record(plan)))
        batch.send(self._client, run)
        self._logged_plans[plan.key] = plan

    def sync(self, ids: Iterable[str], plan: Plan) -> None:
        """Bring the plan and the runs of these cells up to date. A cell that never started has no run.

        The cells of a search hang under a run of its own; those that it has stopped early are ``KILLED``.
        """
        if plan != self._logged_plans.get(plan.key):
            self._log_plan(plan)
        search = self._search(plan)
        for cell_id in ids:
            if cell_id in self._finished:
                self._tag_finished(cell_id, plan)
            else:
                self._sync_cell(cell_id, plan, search)
        if search:
            search.sync(plan)

    def _sync_cell(self, cell_id: str, plan: Plan, search: SearchRun | None) -> None:
        """Bring the run of a cell up to date that had not finished when it was last looked at."""
        record, batch = self._store.read(cell_id), Batch()
        failed = record.failure.get("time", 0.0) if record.failure else None
        if record.status == "todo" and record.epochs_done == 0:
            return
        if failed is not None and failed == self._failed.get(cell_id):
            return
        run = self._runs.get(cell_id) or self._open(cell_id, plan, batch)
        if self._failed.pop(cell_id, None) is not None and record.status == "todo":  # it is tried again
            self._client.update_run(run, "RUNNING")
        if (cell_id, plan.grid) not in self._tagged:
            batch.add_tags({_grid_tag(plan): "1"})
        if search:
            search.adopt(cell_id, run, plan)
        epochs = self._new_epochs(cell_id, batch)
        status, moment = self._end(cell_id, record, plan, batch)
        if record.result is not None:
            self._log_artifacts(cell_id, run)  # first: for its place MLflow reads all that the run has by then
        batch.send(self._client, run)
        self._logged[cell_id] = epochs
        self._tagged.add((cell_id, plan.grid))
        if status is not None:
            self._client.set_terminated(run, status, end_time=moment)
        if status == "FAILED":
            self._failed[cell_id] = failed or 0.0
        elif status is not None:
            self._finished.add(cell_id)

    def _end(self, cell_id: str, record: CellRecord, plan: Plan, batch: Batch) -> tuple[str | None, int | None]:
        """Note how the cell has ended; return MLflow's word for it and the moment, where the store has that."""
        if record.result is not None:
            return "FINISHED", _add_result(record.result, batch)
        if record.diverged is not None:
            batch.add_tags({DIVERGED_TAG: str(record.diverged["error"])[:5000]})
            return "FINISHED", int(record.diverged["finished"] * 1000)
        if record.failure is not None:
            batch.add_tags({ERROR_TAG: str(record.failure["error"])[:5000]})
            return "FAILED", None
        if cell_id in stopped_cells(plan) and not self._store.is_running(cell_id):
            return "KILLED", None
        return None, None

    def _search(self, plan: Plan) -> SearchRun | None:
        """Return the run of the search that a plan belongs to, None if it is a grid's."""
        if "search" not in plan.context:
            return None
        if plan.key not in self._searches:
            self._searches[plan.key] = SearchRun(self._client, self._experiment, plan)
        return self._searches[plan.key]

    def _open(self, cell_id: str, plan: Plan, batch: Batch) -> str:
        """Return the cell's run: the one that carries its tag, or a new one. Notes what every run says of its cell."""
        found = list(self._client.search_runs([self._experiment], f"tags.`{CELL_TAG}` = '{cell_id}'", max_results=1))
        former = str(len(list((self._store.cell(cell_id) / "former").glob("*"))))
        if found and found[0].data.tags.get(FORMER_TAG, "0") != former:
            # Run again because the trainer had changed: the run of the result set aside is no longer the cell's.
            self._client.set_tag(found[0].info.run_id, CELL_TAG, f"{cell_id} (former)")
            found = []
        if found:
            run = found[0].info.run_id
            if self._store.read(cell_id).status == "todo":  # a failed or interrupted cell that runs again
                self._client.update_run(run, "RUNNING")
        else:
            row = next(cell for cell in plan.cells if cell.id == cell_id)
            name = f"{plan.grid} / {row.row} / seed {row.seed}"
            tags = {CELL_TAG: cell_id, FORMER_TAG: former}
            run = self._client.create_run(self._experiment, tags=tags, run_name=name).info.run_id
        if not found or f"{CONFIG_TAG}.0" not in found[0].data.tags:
            content = cell_config(self._store, cell_id)
            made_from = ("teacher_hash", "test_fingerprint", "train_fingerprint", "numerics")
            batch.add_params(content["config"])
            batch.add_tags({f"dfkd.{key}": content[key] for key in made_from if content.get(key) is not None})
            batch.add_tags(to_tags(CONFIG_TAG, content))
        self._runs[cell_id] = run
        return run

    def _tag_finished(self, cell_id: str, plan: Plan) -> None:
        """Note on a finished cell's run that it belongs to the plan's grid too."""
        if (cell_id, plan.grid) not in self._tagged:
            self._client.set_tag(self._runs[cell_id], _grid_tag(plan), "1")
            self._tagged.add((cell_id, plan.grid))

    def register(self, cell_id: str, name: str) -> str:
        """Make a finished cell's student a version of the registered model ``name``; return the version.

        The same cell registered again is the version that it was.

        Raises:
            StoreError: the cell has no run here yet, or its student is gone.
        """
        from mlflow.exceptions import MlflowException

        found = list(self._client.search_runs([self._experiment], f"tags.`{CELL_TAG}` = '{cell_id}'", max_results=1))
        student = self._store.cell(cell_id) / "student.pt"
        if not found or not student.exists():
            missing = "has no run there. Write it with `dfkd mlflow sync`" if not found else "has lost its student.pt"
            raise StoreError(f"A cell must be in MLflow with its student to be registered, but {cell_id} {missing}.")
        run = found[0].info
        with suppress(MlflowException):  # it is there already
            self._client.create_registered_model(name)
        for version in self._client.search_model_versions(f"name = '{name}'"):
            if version.run_id == run.run_id:
                return str(version.version)
        for path in (student, self._store.cell(cell_id) / "config.json"):
            self._client.log_artifact(run.run_id, str(path), "student")
        accuracy = (self._store.read(cell_id).result or {}).get("last")
        tags = {CELL_TAG: cell_id, "dfkd.test_accuracy": str(accuracy)}
        made = self._client.create_model_version(name, f"{run.artifact_uri}/student", run.run_id, tags=tags)
        return str(made.version)

    def _new_epochs(self, cell_id: str, batch: Batch) -> int:
        """Note the epochs that this mirror has not logged yet; return how many there are by now.

        Logging one again is a no-op: its time is its own.
        """
        records = read_log(self._store.cell(cell_id))
        logged = self._logged.get(cell_id, 0)
        if logged > len(records):  # its state was damaged, and it began anew
            logged = 0
        batch.add_metrics(
            (name, value, int(record["time"] * 1000), int(record["epoch"]))
            for record in records[logged:]
            for name, value in record.items()
            if name not in ("epoch", "time")
        )
        return len(records)

    def _log_artifacts(self, cell_id: str, run: str) -> None:
        """Copy the samples of a finished cell and, if that was asked for, its student."""
        samples = self._store.cell(cell_id) / "samples.png"
        if samples.exists():
            self._client.log_artifact(run, str(samples))
        if samples.with_suffix("").is_dir():
            self._client.log_artifacts(run, str(samples.with_suffix("")), "samples")
        student = samples.with_name("student.pt")
        if self._checkpoints and student.exists():
            self._client.log_artifact(run, str(student))


def _grid_tag(plan: Plan) -> str:
    return f"dfkd.grid.{plan.grid}"


def _add_result(result: Mapping[str, Any], batch: Batch) -> int:
    """Note a finished cell's result; return when it finished, in milliseconds since 1970."""
    moment = int(result["finished"] * 1000)
    numbers = {key: value for key, value in result.items() if isinstance(value, int | float) and key != "finished"}
    batch.add_metrics((f"result.{key}", value, moment, 0) for key, value in numbers.items())
    batch.add_tags({f"dfkd.environment.{key}": value for key, value in result["environment"].items()})
    batch.add_tags(to_tags(RESULT_TAG, result))
    return moment
