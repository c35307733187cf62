"""Where runs come from: a run store, or MLflow alone. Both give the same plans and the same cells."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from harness.records import Plan, ReadJson, read_json, read_log, read_plans
from reports.errors import ReportError


@dataclass(frozen=True)
class Recorded:
    """What is known of one cell."""

    status: str
    """``done``, ``diverged``, ``failed`` or ``todo``."""
    result: Mapping[str, Any]
    """What result.json holds; empty unless done."""
    config: Mapping[str, Any]
    """What config.json holds; empty if the cell has not started."""
    epochs: int
    """Finished epochs."""
    error: str
    """First line of what went wrong; empty unless failed or diverged."""
    link: str
    """Where the cell can be looked at: its folder, or its MLflow run."""


class Source(Protocol):
    """Plans and cells, wherever they are kept."""

    @property
    def place(self) -> str:
        """Return where this is, for a message."""
        ...

    def plans(self) -> list[Plan]:
        """Return every plan, by grid and key."""
        ...

    def cells(self, ids: Iterable[str]) -> dict[str, Recorded]:
        """Return what is known of each cell of ``ids``."""
        ...

    def logs(self, ids: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
        """Return the epochs of each cell of ``ids``, in order."""
        ...


def first_line(error: str) -> str:
    """Return the first line of an error, no longer than 500 characters."""
    return error.strip().partition("\n")[0][:500]


@dataclass(frozen=True)
class StoreSource:
    """The run store at ``root``."""

    root: Path
    read: ReadJson = field(default=read_json, repr=False, compare=False)
    """Gets its files; ``harness.records.JsonFiles`` keeps them."""

    @property
    def place(self) -> str:
        """Return the folder."""
        return str(self.root)

    def plans(self) -> list[Plan]:
        """Return every stored plan, by grid and key."""
        return read_plans(self.root)

    def cells(self, ids: Iterable[str]) -> dict[str, Recorded]:
        """Return what the store holds of each cell."""
        return {cell_id: self._cell(cell_id) for cell_id in ids}

    def _cell(self, cell_id: str) -> Recorded:
        place = f"{self.root}/cells/{cell_id}"
        config, result = self.read(f"{place}/config.json") or {}, self.read(f"{place}/result.json")
        if result is not None:
            epochs = config.get("config", {}).get("schedule.epochs", 0)  # without a look at the log: it is long
            return Recorded("done", result, config, epochs, "", place)
        epochs = len(read_log(Path(place)))
        if diverged := self.read(f"{place}/diverged.json"):
            return Recorded("diverged", {}, config, epochs, first_line(str(diverged["error"])), place)
        failure = self.read(f"{place}/failure.json")
        error = first_line(str(failure["error"])) if failure else ""
        if failure is None and not epochs:
            return Recorded("todo", {}, {}, 0, "", "")  # not started: MLflow does not know it either
        return Recorded("failed" if failure else "todo", {}, config, epochs, error, place)

    def logs(self, ids: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
        """Return each cell's log."""
        return {cell_id: read_log(self.root / "cells" / cell_id) for cell_id in ids}


def open_source(where: "Source | Path | str") -> Source:
    """Return the run store in a folder, or the cells in MLflow for a tracking URI (``sqlite:///...``, ``http://...``).

    Raises:
        ReportError: there is no such folder.
    """
    if not isinstance(where, Path | str):
        return where
    if "://" in str(where):
        from reports.tracking import TrackingSource  # here, because MLflow takes a second to import

        return TrackingSource(str(where))
    root = Path(where).expanduser().resolve()
    if not root.is_dir():
        raise ReportError(
            "Runs must be in a folder or behind a tracking URI such as sqlite:///runs/mlflow.db, but no folder is at "
            f"{root}."
        )
    return StoreSource(root)


def mlflow_links(uri: str, ids: Iterable[str]) -> dict[str, str]:
    """Return where in MLflow each cell's run is, of those that have one."""
    from reports.tracking import TrackingSource  # here, because MLflow takes a second to import

    return TrackingSource(uri).links(ids)


def choose_plan(source: Source, grid: str | None = None, *, key: str | None = None) -> Plan:
    """Return the one plan of ``grid``, or with this ``key`` or its beginning.

    Raises:
        ReportError: there is none, or several, which are then listed with what they differ in.
    """
    plans = source.plans()
    asked = [f"of the grid {grid!r}"] * (grid is not None) + [f"with the key {key}"] * (key is not None)
    name = " ".join(["a plan", *asked])
    found = [plan for plan in plans if grid in (None, plan.grid) and (key is None or plan.key.startswith(key))]
    if len(found) == 1:
        return found[0]
    if not found:
        there = ", ".join(sorted({plan.grid for plan in plans})) or "none at all"
        raise ReportError(
            f"There must be {name} in {source.place}, but the plans there are: {there}. "
            "`dfkd ablate` stores one when it starts."
        )
    listed = "; ".join(f"{plan.key}: {_described(plan)}" for plan in found)
    raise ReportError(f"There must be one plan, but {source.place} has {len(found)}: {listed}. Give one's key.")


def _described(plan: Plan) -> str:
    context = plan.context
    seeds = ",".join(map(str, plan.seeds))
    return f"{plan.grid} on {context.get('dataset')}, budget {context.get('budget')}, seeds {seeds}"
