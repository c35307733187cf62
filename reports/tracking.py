"""Runs read from MLflow alone, as the harness's mirror wrote them. Runs that others logged are passed over."""

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

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
    Plan,
    from_tags,
    plan_of,
)
from reports.errors import ReportError
from reports.sources import Recorded, first_line

PAGE = 1000
"""Runs asked for at a time."""


@dataclass(frozen=True)
class TrackingSource:
    """The cells behind an MLflow tracking URI."""

    uri: str

    @property
    def place(self) -> str:
        """Return the URI."""
        return self.uri

    @cached_property
    def _client(self) -> Any:
        file = Path(self.uri.removeprefix("sqlite:///"))
        if self.uri.startswith("sqlite:///") and not file.is_file():  # MLflow would make an empty one
            raise ReportError(f"The tracking URI must be of what is there, but {self.uri} names no file.")
        for name, value in MLFLOW_ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from mlflow.tracking import MlflowClient

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        return MlflowClient(tracking_uri=self.uri)

    def _tagged(self, experiment: str, tag: str) -> dict[str, Any]:
        """Return the runs of an experiment that carry ``tag``, by its value."""
        try:
            found = self._client.get_experiment_by_name(experiment)
        except Exception as error:
            if isinstance(error, ReportError):
                raise
            reason = str(error).strip().partition("\n")[0]  # a backend may raise anything
            raise ReportError(
                f"The tracking URI must be within reach, but {self.uri} is not: {type(error).__name__}: {reason}. Such "
                "as sqlite:////DIR/mlflow.db or http://HOST:5000."
            ) from None
        if found is None:
            return {}
        runs: dict[str, Any] = {}
        token = None
        while True:
            page = self._client.search_runs([found.experiment_id], max_results=PAGE, page_token=token)
            for run in page:
                value = run.data.tags.get(tag)
                if value in runs:
                    raise ReportError(
                        f"A cell or plan must have one MLflow run, but {runs[value].info.run_id} and {run.info.run_id} "
                        f"in {self.uri} both carry {tag} = {value}. Delete one of them."
                    )
                if value is not None:
                    runs[value] = run
            token = page.token
            if not token:
                return runs

    @cached_property
    def _cells(self) -> dict[str, Any]:
        return self._tagged(EXPERIMENT, CELL_TAG)

    def plans(self) -> list[Plan]:
        """Return every plan that was mirrored, by grid and key."""
        contents = (from_tags(PLAN_TAG, run.data.tags) for run in self._tagged(PLANS_EXPERIMENT, PLAN_TAG).values())
        plans = [plan_of(content) for content in contents if content is not None]
        return sorted(plans, key=lambda plan: (plan.grid, plan.key))

    def cells(self, ids: Iterable[str]) -> dict[str, Recorded]:
        """Return what MLflow holds of each cell."""
        return {cell_id: self._cell(self._cells.get(cell_id)) for cell_id in ids}

    def _cell(self, run: Any) -> Recorded:
        if run is None:
            return Recorded("todo", {}, {}, 0, "", "")
        tags, link = run.data.tags, self._link(run)
        config, result = from_tags(CONFIG_TAG, tags) or {}, from_tags(RESULT_TAG, tags)
        if result is not None:
            return Recorded("done", result, config, config.get("config", {}).get("schedule.epochs", 0), "", link)
        epochs = len(self._client.get_metric_history(run.info.run_id, "seconds"))
        if DIVERGED_TAG in tags:
            return Recorded("diverged", {}, config, epochs, first_line(tags[DIVERGED_TAG]), link)
        if run.info.status == "FAILED":
            return Recorded("failed", {}, config, epochs, first_line(tags.get(ERROR_TAG, "")), link)
        return Recorded("todo", {}, config, epochs, "", link)

    def _link(self, run: Any) -> str:
        path = f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
        return f"{self.uri.rstrip('/')}/{path}" if self.uri.startswith("http") else f"{self.uri} {path}"

    def links(self, ids: Iterable[str]) -> dict[str, str]:
        """Return where each cell's run is in MLflow, of those that have one."""
        return {cell_id: self._link(run) for cell_id in ids if (run := self._cells.get(cell_id)) is not None}

    def logs(self, ids: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
        """Return the epochs of each cell, from the histories of its metrics."""
        return {cell_id: self._log(self._cells.get(cell_id)) for cell_id in ids}

    def _log(self, run: Any) -> list[dict[str, Any]]:
        epochs: dict[int, dict[str, Any]] = {}
        for name in [] if run is None else run.data.metrics:
            if not name.startswith("result."):
                for metric in self._client.get_metric_history(run.info.run_id, name):
                    about = {"epoch": metric.step, "time": metric.timestamp / 1000}
                    epochs.setdefault(metric.step, about)[name] = metric.value
        return [epochs[epoch] for epoch in sorted(epochs)]
