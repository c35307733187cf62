"""Finished runs of an MLflow experiment that this harness logged, as far as a search would have run them itself."""

import logging
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dfkd import NUMERICS
from dfkd.config import RunConfig
from dfkd.errors import ConfigError, UserError
from dfkd.overrides import flatten, parse_scalar, with_overrides
from harness.records import CELL_TAG, EXPERIMENT, MLFLOW_ENVIRONMENT
from harness.search.known import Known
from harness.search.objectives import Finished, Objective
from harness.search.points import Points

if TYPE_CHECKING:
    from mlflow.entities import Run


GREATEST = 1e300
"""Of a value that is believed: MLflow gives infinity back as 1.8e308."""


class SourceError(UserError):
    """An MLflow experiment cannot be read."""


@dataclass(frozen=True)
class Taken:
    """What an experiment gives a search."""

    known: tuple[Known, ...]
    """Runs that the search would have run itself, each cell once."""
    left_out: Mapping[str, int]
    """Why others are of no use, and how many of them."""

    @property
    def words(self) -> str:
        """Return both in a sentence."""
        reasons = "; ".join(f"{number} {reason}" for reason, number in self.left_out.items())
        total = len(self.known) + sum(self.left_out.values())
        return f"{len(self.known)} of {total} runs are taken over" + (f"; left out: {reasons}" if reasons else "")


def read_mlflow(source: str, points: Points, objectives: Sequence[Objective]) -> Taken:
    """Return what ``URI`` or ``URI#experiment`` has for a search; the experiment is the mirror's own if none is named.

    A run counts if it is finished, its recorded configuration makes the identity that it carries with the search's
    teacher, images and arithmetic, and has the search's seed and lies in its space, and all objectives are finite.

    Raises:
        SourceError: there is no such experiment, or it cannot be reached.
    """
    known: dict[str, Known] = {}
    left_out: Counter[str] = Counter()
    for run in _runs(source):
        judged = _judge(run, points, objectives)
        if isinstance(judged, str):
            left_out[judged] += 1
        elif judged.cell_id in known:
            left_out["of a cell that is there already"] += 1
        else:
            known[judged.cell_id] = judged
    return Taken(tuple(known[cell_id] for cell_id in sorted(known)), dict(sorted(left_out.items())))


def _runs(source: str) -> Iterator["Run"]:
    uri, _, name = source.partition("#")
    name = name or EXPERIMENT
    file = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and not file.is_file():
        raise SourceError(f"`--warm-start-mlflow` must name what is there, but there is no file {file}.")
    for key, value in MLFLOW_ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    try:
        from mlflow.tracking import MlflowClient  # here, because it takes a second

        for each in ("mlflow", "alembic"):  # after the import, which sets levels of its own
            logging.getLogger(each).setLevel(logging.ERROR)
        client = MlflowClient(tracking_uri=uri)
        experiment = client.get_experiment_by_name(name)
        names = [each.name for each in client.search_experiments()] if experiment is None else []
    except Exception as error:  # a backend may raise anything
        reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise SourceError(
            f"`--warm-start-mlflow` must be within reach, but {uri} is not: {type(error).__name__}: {reason}. Such as "
            "sqlite:////DIR/mlflow.db or http://HOST:5000, with #EXPERIMENT behind it if it is not `dfkd`."
        ) from None
    if experiment is None:
        raise SourceError(
            f"`--warm-start-mlflow` must name an experiment that is there, but {uri} has none of the name {name!r}. "
            f"Known: {', '.join(names)}. Write {uri}#NAME."
        )
    token: str | None = None
    while True:
        page = client.search_runs([experiment.experiment_id], max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _judge(run: "Run", points: Points, objectives: Sequence[Objective]) -> Known | str:
    """Return what a run says of the space, or why it says nothing."""
    tags = run.data.tags
    if CELL_TAG not in tags:
        return "not of a cell"
    if run.info.status != "FINISHED" or "result.last" not in run.data.metrics:
        return "not finished"
    if tags.get("dfkd.numerics") != str(NUMERICS):
        return "of another version of the trainer's arithmetic"
    if tags.get("dfkd.teacher_hash") != points.teacher_hash:
        return "of another teacher"
    if tags.get("dfkd.test_fingerprint") != points.test_fingerprint:
        return "on other images"
    config = _config(run.data.params)
    if config is None:
        return "with fields that this version does not have"
    if points.cell_of(config).id != tags[CELL_TAG]:
        return "whose configuration does not make the identity that they carry"
    point = points.point_of(config)
    if point is None:
        return "outside of the space, or with other settings"
    if config.seed != points.base.seed:
        return "with another seed"
    values = _values(run.data.metrics, config, points, objectives)
    if values is None:
        return f"without a finite {' and '.join(objective.title for objective in objectives)}"
    return Known(tags[CELL_TAG], point, values, config.seed, True)


def _config(params: Mapping[str, str]) -> RunConfig | None:
    try:
        return with_overrides(RunConfig(), {key: parse_scalar(key, text) for key, text in params.items()})
    except ConfigError:
        return None


def _values(
    metrics: Mapping[str, float], config: RunConfig, points: Points, objectives: Sequence[Objective]
) -> tuple[float, ...] | None:
    """Return the objectives; None if one is missing, NaN, infinite, or a fraction that is none."""
    result = {key.removeprefix("result."): value for key, value in metrics.items() if key.startswith("result.")}
    finished = Finished(metrics, result, flatten(config), points.classes)
    values = []
    for objective in objectives:
        value = objective.read(finished)
        if value is None or not math.isfinite(value) or abs(value) > GREATEST:
            return None
        if objective.fraction and not 0 <= value <= 1:
            return None
        values.append(value)
    return tuple(values)
