"""The record format of the run store, on the standard library alone: what the harness writes and reports read.

<store>/store.json                    the format of all the rest
<store>/plans/<key>.json              a Plan: which cells a grid asked for, written before the first of them runs
<store>/cells/<id>/config.json        the resolved configuration and what the id was made from
<store>/cells/<id>/log.jsonl          one record per epoch
<store>/cells/<id>/state.pt           full training state, while the cell is unfinished
<store>/cells/<id>/state.images       images that the student is shown again, a part of the state; so state.features
<store>/cells/<id>/training.json      by which code and on which machine, while the cell is unfinished
<store>/cells/<id>/result.json        written last: the cell is done
<store>/cells/<id>/diverged.json      instead of a result: a loss became NaN or infinite, which is how the run ends
<store>/cells/<id>/failure.json       the last attempt ended in an error
<store>/cells/<id>/failures.jsonl     the attempts that count against the budget of retries
<store>/cells/<id>/lease, holders/    who runs it (harness/leases.py)
<store>/cells/<id>/student.pt         the student's weights
<store>/cells/<id>/networks.pt        the generator and the auxiliary modules, where they were to be kept
<store>/cells/<id>/samples.png        synthesised images
<store>/cells/<id>/samples/           the same noise after earlier epochs, as JPEGs
<store>/cells/<id>/former/            what the cell came to before it was run again because the trainer had changed
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

FORMAT = 1
"""Of a store. A newer one is refused."""

STATE_FILES = ("state.pt", "state.images", "state.features")
"""Of an unfinished cell: its state, and what lies beside it because it is large."""


@dataclass(frozen=True)
class PlannedCell:
    """One row of a grid with one seed."""

    id: str
    """The cell's identity: equal ids are one run, in whatever grid they appear."""
    row: str
    """Name of the row."""
    seed: int
    """The run's seed."""


@dataclass(frozen=True)
class Plan:
    """What a grid asked for."""

    key: str
    """Hash of the request: rows, seeds and settings."""
    grid: str
    """Name of the grid."""
    title: str
    """What the grid shows, for a caption."""
    rows: tuple[str, ...]
    """Names of the rows, in the grid's order."""
    reference: str
    """The row that differences are taken from."""
    seeds: tuple[int, ...]
    """Of every row."""
    cells: tuple[PlannedCell, ...]
    """Row by row, seeds innermost."""
    context: Mapping[str, Any]
    """What all cells share, for a caption: ``dataset``, ``classes`` (a number), ``image_size``, ``teacher``,
    ``teacher_accuracy`` (a fraction), ``teacher_hash``, ``teacher_origin`` (name of the file it was imported from, or
    None if it was trained here), ``student``, ``budget``, ``epochs``, ``settings`` (``--set``), ``stale`` (``keep`` if
    stale cells are shown without a mark). Of a grid on several images or teachers: ``columns``, each with all of these
    that it has for itself, ``named`` (what the grid calls it), ``reference``, and ``rows``, pairs of what a table calls
    a row and its name in the plan."""

    @property
    def ids(self) -> tuple[str, ...]:
        """Return the distinct cells, in the order of first appearance."""
        return tuple(dict.fromkeys(cell.id for cell in self.cells))

    @property
    def running_order(self) -> tuple[str, ...]:
        """Return the distinct cells seed by seed, all rows at the first seed first: half a plan is a whole table."""
        return tuple(dict.fromkeys(cell.id for seed in self.seeds for cell in self.cells if cell.seed == seed))


def plan_columns(plan: Plan) -> tuple[Plan, ...]:
    """Return the columns of a plan's table, each as a plan of its own: the rows that share images and teacher.

    Rows have the names that a table calls them by, equal in all columns. A plan with one column is its own.
    """
    columns = plan.context.get("columns")
    if not columns:
        return (plan,)
    above = {key: value for key, value in plan.context.items() if key != "columns"}
    parts = []
    for column in columns:
        labels = {name: label for label, name in column["rows"]}
        cells = tuple(replace(cell, row=labels[cell.row]) for cell in plan.cells if cell.row in labels)
        about = {key: value for key, value in column.items() if key not in ("rows", "reference")}
        parts.append(
            replace(
                plan,
                rows=tuple(labels.values()),
                reference=column["reference"],
                cells=cells,
                context={**above, **about},
            )
        )
    return tuple(parts)


@dataclass(frozen=True)
class CellRecord:
    """What the store holds of a cell."""

    id: str
    """The cell's identity."""
    status: str
    """``done``, ``diverged``, ``failed`` or ``todo``."""
    result: Mapping[str, Any] | None
    """If done: ``last``, ``best_on_test``, ``best_epoch``, ``final_mean``, ``final_sd``, ``final_epochs`` (fractions),
    ``validation_last`` (a fraction, where images were kept aside), ``seconds``, ``images_per_second``, ``environment``,
    ``finished`` (Unix time), ``trainer`` (the fingerprints of the code that trained it, one unless it was resumed by
    other code)."""
    failure: Mapping[str, Any] | None
    """If failed: ``error`` (one line), ``traceback``, ``kind``, ``attempts``; ``quarantined`` if it is left alone."""
    store: Path
    """Where it lies."""
    diverged: Mapping[str, Any] | None = None
    """If diverged: ``error``, ``epoch``, ``seconds``, ``environment``, ``finished``, ``trainer``."""

    @property
    def epochs_done(self) -> int:
        """Return the length of the log, which is read for it: logs are long, and most who ask for a cell need none."""
        return len(read_log(self.store / "cells" / self.id))

    @property
    def ended(self) -> bool:
        """Return whether there is nothing left to run: the cell is done, or has diverged."""
        return self.status in ("done", "diverged")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write ``content`` atomically: a crash leaves the old file or the new one."""
    text = json.dumps(content, indent=1, sort_keys=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_json(path: Path | str) -> dict[str, Any] | None:
    """Return a file that ``write_json`` wrote, or None if there is none."""
    try:
        with open(path, "rb") as file:
            return json.loads(file.read())
    except FileNotFoundError:
        return None


ReadJson = Callable[[str], dict[str, Any] | None]
"""Reads a file as ``read_json`` does."""


class JsonFiles:
    """Reads JSON files as they are while one command looks at them: each once, however often it is asked for."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, Any] | None] = {}

    def __call__(self, path: str) -> dict[str, Any] | None:
        """Return what was in the file when it was first asked for, None if there was none."""
        if path not in self._known:
            self._known[path] = read_json(path)
        return self._known[path]


def write_plan(store: Path, plan: Plan) -> None:
    """Store ``plan`` under its key."""
    write_json(store / "plans" / f"{plan.key}.json", plan_record(plan))


def plan_record(plan: Plan) -> dict[str, Any]:
    """Return what a plan's file holds."""
    return {"format": FORMAT, **asdict(plan)}


def plan_of(content: Mapping[str, Any]) -> Plan:
    """Return the plan that ``plan_record`` made a record of."""
    rest = {key: value for key, value in content.items() if key not in ("format", "cells")}
    cells = tuple(PlannedCell(**cell) for cell in content["cells"])
    return Plan(**{**rest, "rows": tuple(rest["rows"]), "seeds": tuple(rest["seeds"])}, cells=cells)


def read_plan(path: Path) -> Plan | None:
    """Return the plan in ``path``, or None if there is no such file."""
    content = read_json(path)
    return None if content is None else plan_of(content)


def read_plans(store: Path) -> list[Plan]:
    """Return every stored plan, by grid and key."""
    plans = [plan for path in (store / "plans").glob("*.json") if (plan := read_plan(path))]
    return sorted(plans, key=lambda plan: (plan.grid, plan.key))


def read_log(cell: Path) -> list[dict[str, Any]]:
    """Return the records of a cell's log; a last line that a crash cut short is left out."""
    records = []
    try:
        lines = (cell / "log.jsonl").read_text().splitlines()
    except FileNotFoundError:
        return []
    for i, line in enumerate(lines):
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            if i < len(lines) - 1:
                raise
    return records


def read_cell(store: Path, cell_id: str, read: ReadJson = read_json) -> CellRecord:
    """Return what the store holds of ``cell_id``; a cell it has never seen is ``todo``. Files are got by ``read``."""
    folder = f"{store}/cells/{cell_id}"  # a Path costs more than the file: commands look at thousands of cells
    if result := read(f"{folder}/result.json"):
        return CellRecord(cell_id, "done", result, None, store)
    if diverged := read(f"{folder}/diverged.json"):
        return CellRecord(cell_id, "diverged", None, None, store, diverged)
    failure = read(f"{folder}/failure.json")
    return CellRecord(cell_id, "failed" if failure else "todo", None, failure, store)


MLFLOW_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # A server that is away is noticed in seconds, not minutes: the store has everything, and it is tried again later.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
}
"""Variables that are set, unless they are, before MLflow is imported."""
EXPERIMENT = "dfkd"
"""Of the cells in MLflow."""
PLANS_EXPERIMENT = "dfkd plans"
"""Of the plans in MLflow, a run each."""
CELL_TAG = "dfkd.cell"
"""On the MLflow run of a cell: its identity."""
PLAN_TAG = "dfkd.plan"
"""On the MLflow run of a plan: its key, and with numbers behind it the plan."""
CONFIG_TAG = "dfkd.config"
"""With numbers behind it, on the MLflow run of a cell: its config.json."""
RESULT_TAG = "dfkd.result"
"""With numbers behind it, on the MLflow run of a cell that is done: its result.json."""
ERROR_TAG = "dfkd.error"
"""On the MLflow run of a cell that failed: the error."""
DIVERGED_TAG = "dfkd.diverged"
"""On the MLflow run of a cell whose loss became NaN or infinite: the error."""
TAG_LENGTH = 4000
"""Characters of JSON in one tag; MLflow's limits lie above."""


def to_tags(name: str, content: Mapping[str, Any]) -> dict[str, str]:
    """Return ``content`` as tags ``name.0``, ``name.1``, ..., each a numbered piece of its JSON."""
    text = json.dumps(content, sort_keys=True)
    pieces = [text[start : start + TAG_LENGTH] for start in range(0, len(text), TAG_LENGTH)]
    return {f"{name}.{i}": f"{i + 1}/{len(pieces)} {piece}" for i, piece in enumerate(pieces)}


def from_tags(name: str, tags: Mapping[str, str]) -> dict[str, Any] | None:
    """Return what ``to_tags`` made into tags, or None unless every piece is there; left-over pieces are not read."""
    count, _, _ = tags.get(f"{name}.0", "").partition(" ")
    pieces = []
    for i in range(int(count.partition("/")[2] or 0)):
        head, _, piece = tags.get(f"{name}.{i}", "").partition(" ")
        if head != f"{i + 1}/{count.partition('/')[2]}":
            return None
        pieces.append(piece)
    return json.loads("".join(pieces)) if pieces else None
