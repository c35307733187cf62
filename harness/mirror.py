"""MLflow as a mirror of the store: one writer, in the driver; one run per cell, found by the cell's id; idempotent.

Everything is read from the store, so the mirror can fail, be deleted, or be pointed elsewhere, and nothing is lost.
"""

import logging
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.mirror_search import SearchRun, stopped_cells
from harness.records import Plan, read_log
from harness.store import Store, cell_config

EXPERIMENT = "dfkd"
CELL_TAG = "dfkd.cell"
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

    def __init__(self, uri: str, store: Store) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        _use_write_ahead_log(uri)
        from mlflow.tracking import MlflowClient  # here, because it takes a second

        for name in ("mlflow", "alembic"):  # after the import, which sets levels of its own
            logging.getLogger(name).setLevel(logging.ERROR)
        self._store = store
        self._client = MlflowClient(tracking_uri=uri)
        experiment = self._client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            # A server has a place of its own for artifacts; a bare file would take the working directory.
            artifacts = (store.root / "mlflow-artifacts").as_uri() if uri.startswith("sqlite:") else None
            self._experiment = self._client.create_experiment(EXPERIMENT, artifact_location=artifacts)
        else:
            self._experiment = experiment.experiment_id
        self._runs: dict[str, str] = {}
        self._logged: dict[str, int] = {}
        self._finished: set[str] = set()
        self._searches: dict[str, SearchRun] = {}

    def sync(self, ids: Iterable[str], plan: Plan) -> None:
        """Bring the runs of these cells up to date with the store. A cell that never started has no run.

        The cells of a search hang under a run of its own; those that it has stopped early are ``KILLED``.
        """
        search, stopped = self._search(plan), stopped_cells(plan)
        for cell_id in ids:
            if cell_id in self._finished:
                continue
            record = self._store.read(cell_id)
            if record.status == "todo" and record.epochs_done == 0:
                continue
            run = self._runs.get(cell_id) or self._open(cell_id, plan)
            if search:
                search.adopt(cell_id, run, plan)
            self._log_new(cell_id, run)
            if record.result is not None:
                self._finish(cell_id, run, record.result)
            elif record.failure is not None:
                self._client.set_tag(run, "dfkd.error", str(record.failure["error"])[:5000])
                self._client.set_terminated(run, "FAILED")
                self._finished.add(cell_id)
            elif cell_id in stopped and not self._store.is_running(cell_id):
                self._client.set_terminated(run, "KILLED")
                self._finished.add(cell_id)
        if search:
            search.sync(plan)

    def _search(self, plan: Plan) -> SearchRun | None:
        """Return the run of the search that a plan belongs to, None if it is a grid's."""
        if "search" not in plan.context:
            return None
        if plan.key not in self._searches:
            self._searches[plan.key] = SearchRun(self._client, self._experiment, plan)
        return self._searches[plan.key]

    def _open(self, cell_id: str, plan: Plan) -> str:
        """Return the cell's run: the one that carries its tag, or a new one."""
        from mlflow.entities import Param, RunStatus, RunTag

        found = list(self._client.search_runs([self._experiment], f"tags.`{CELL_TAG}` = '{cell_id}'", max_results=1))
        former = str(len(list((self._store.cell(cell_id) / "former").glob("*"))))
        if found and found[0].data.tags.get(FORMER_TAG, "0") != former:
            # Run again because the trainer had changed: the run of the result set aside is no longer the cell's.
            self._client.set_tag(found[0].info.run_id, CELL_TAG, f"{cell_id} (former)")
            found = []
        content = cell_config(self._store, cell_id)
        if found:
            run = found[0].info.run_id
            if self._store.read(cell_id).status == "todo":  # a failed or interrupted cell that runs again
                self._client.update_run(run, RunStatus.to_string(RunStatus.RUNNING))
        else:
            row = next(cell for cell in plan.cells if cell.id == cell_id)
            name = f"{plan.grid} / {row.row} / seed {row.seed}"
            run = self._client.create_run(
                self._experiment, tags={CELL_TAG: cell_id, FORMER_TAG: former}, run_name=name
            ).info.run_id
            params = [Param(key, str(value)) for key, value in content["config"].items()]
            made_from = ("teacher_hash", "test_fingerprint", "train_fingerprint", "numerics")
            tags = [RunTag(f"dfkd.{key}", str(content[key])) for key in made_from if content.get(key) is not None]
            self._client.log_batch(run, params=params, tags=tags)
        self._client.set_tag(run, f"dfkd.grid.{plan.grid}", "1")
        self._runs[cell_id] = run
        return run

    def _log_new(self, cell_id: str, run: str) -> None:
        """Log the epochs that this mirror has not logged yet. Logging one again is a no-op: its time is its own."""
        from mlflow.entities import Metric

        records = read_log(self._store.cell(cell_id))
        metrics = [
            Metric(name, float(value), int(record["time"] * 1000), int(record["epoch"]))
            for record in records[self._logged.get(cell_id, 0) :]
            for name, value in record.items()
            if name not in ("epoch", "time")
        ]
        for start in range(0, len(metrics), 1000):  # MLflow's limit of a batch
            self._client.log_batch(run, metrics=metrics[start : start + 1000])
        self._logged[cell_id] = len(records)

    def _finish(self, cell_id: str, run: str, result: Any) -> None:
        from mlflow.entities import Metric, RunTag

        moment = int(result["finished"] * 1000)
        numbers = {key: value for key, value in result.items() if isinstance(value, int | float) and key != "finished"}
        tags = [RunTag(f"dfkd.environment.{key}", str(value)) for key, value in result["environment"].items()]
        self._client.log_batch(run, [Metric(f"result.{k}", float(v), moment, 0) for k, v in numbers.items()], tags=tags)
        samples = self._store.cell(cell_id) / "samples.png"
        if samples.exists():
            self._client.log_artifact(run, str(samples))
        if samples.with_suffix("").is_dir():
            self._client.log_artifacts(run, str(samples.with_suffix("")), "samples")
        self._client.set_terminated(run, "FINISHED", end_time=moment)
        self._finished.add(cell_id)
