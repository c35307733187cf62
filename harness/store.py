"""The run store on disk: preparing it, leases on cells, and each cell's log."""

import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from dfkd.errors import UserError
from harness.leases import HeldError, Lease, hold, is_held, working
from harness.records import FORMAT, CellRecord, JsonFiles, read_cell, read_json, read_log, read_plans, write_json
from harness.staleness import staleness


class StoreError(UserError):
    """The store cannot be used."""


class CellBusyError(RuntimeError):
    """Another process is running the cell."""


KEPT = ("config.json", "lease", "holders")
"""What of a cell stays where it is when its result is set aside."""


@dataclass(frozen=True)
class Store:
    """A run store at ``root``, an absolute path."""

    root: Path

    def cell(self, cell_id: str) -> Path:
        """Return the folder of a cell."""
        return self.root / "cells" / cell_id

    @property
    def cache(self) -> Path:
        """Return the folder of decoded test images."""
        return self.root / "cache"

    def teacher(self, name: str) -> Path:
        """Return where the checkpoint of the teacher ``name`` belongs."""
        return self.root / "teachers" / name / "teacher.pt"

    def read(self, cell_id: str) -> CellRecord:
        """Return what is known of a cell."""
        return read_cell(self.root, cell_id)

    def forget_failure(self, cell_id: str) -> None:
        """Take back a former failure, because the cell is about to run again."""
        if not self.is_running(cell_id):
            (self.cell(cell_id) / "failure.json").unlink(missing_ok=True)

    def set_aside(self, cell_id: str) -> Path | None:
        """Move what a finished cell came to into its folder ``former``, so that it runs again; return where to.

        None if it is not finished. Called again after a crash half-way, it moves the rest.

        Raises:
            CellBusyError: another process runs the cell.
        """
        folder = self.cell(cell_id)
        with self.lease(cell_id, patience=0):
            ended = next((name for name in ("result.json", "diverged.json") if (folder / name).exists()), None)
            result = read_json(folder / ended) if ended else None
            if ended is None or result is None:
                return None
            moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime(result["finished"]))
            former = folder / "former" / f"{moment}-{'-'.join(each[:8] for each in result.get('trainer', ['unknown']))}"
            former.mkdir(parents=True, exist_ok=True)
            names = {path.name for path in folder.iterdir()} - {ended, "former", *KEPT}
            for name in (*sorted(names), ended):  # the result last: without it the cell is not done
                (folder / name).replace(former / name)
        return former

    def is_running(self, cell_id: str) -> bool:
        """Return whether a process works on the cell, as far as one look can tell: for people to read."""
        return working(self.cell(cell_id)) is not None

    def is_held(self, cell_id: str) -> bool:
        """Return whether a process may work on the cell: on another machine, it may also have died."""
        return is_held(self.cell(cell_id))

    @contextmanager
    def lease(self, cell_id: str, *, patience: float) -> Iterator[Lease]:
        """Hold the cell for this process; ``patience`` as for ``harness.leases.hold``.

        Raises:
            CellBusyError: another process runs the cell.
        """
        with ExitStack() as stack:
            try:
                lease = stack.enter_context(hold(self.cell(cell_id), patience=patience))
            except HeldError as error:
                raise CellBusyError(f"Cell {cell_id} is being run: {error} Wait for it, or stop it.") from None
            yield lease


@dataclass(frozen=True)
class Snapshot(Store):
    """A store as it is while one command looks at it: each cell is read once, however often it is asked for."""

    files: JsonFiles = field(default_factory=JsonFiles, repr=False, compare=False)

    def read(self, cell_id: str) -> CellRecord:
        """Return what was known of a cell when it was first asked for."""
        return read_cell(self.root, cell_id, self.files)


def existing_store(path: Path, what: str) -> Store:
    """Return the store at ``path``, which is to be ``what``: exported, say.

    Raises:
        StoreError: there is none, or it is of a newer format.
    """
    root = path.expanduser().resolve()
    if not root.is_dir():
        raise StoreError(f"The store must exist to be {what}, but there is none at {root}. Name it with `--store`.")
    return known_store(root)


def known_store(path: Path) -> Store:
    """Return the store at ``path``, whether it is there or not.

    Raises:
        StoreError: it is of a newer format than this version knows.
    """
    root = path.expanduser().resolve()
    made = (read_json(root / "store.json") or {}).get("format", FORMAT)
    if made > FORMAT:
        raise StoreError(
            f"A store must be of format {FORMAT} or older for this version of dfkd, but {root} is of format {made}, "
            "which a newer version has made. Install that version, or name another store with `--store`."
        )
    return Store(root)


def open_store(path: Path) -> Store:
    """Return the store at ``path``, made if it is not there.

    Raises:
        StoreError: it cannot be written, or is of a newer format than this version knows.
    """
    root = path.expanduser().resolve()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root) as probe:
            probe.write(b"x")
        store = known_store(root)
        if not (root / "store.json").exists():
            write_json(root / "store.json", {"format": FORMAT})
    except OSError as error:
        raise StoreError(
            f"The store must be a folder that can be written, but {root} is not: {error.strerror}. "
            "Name another with `--store`."
        ) from None
    return store


class RunLog:
    """A cell's log.jsonl: one record per epoch, each flushed to disk, none twice."""

    def __init__(self, cell: Path) -> None:
        self._path = cell / "log.jsonl"
        records = read_log(cell)
        self._epochs = {record["epoch"] for record in records}
        # Rewritten because a crash may have cut the last line short.
        text = "".join(json.dumps(record) + "\n" for record in records)
        part = self._path.with_suffix(".part")
        part.write_text(text)
        part.replace(self._path)

    def append(self, record: Mapping[str, Any]) -> None:
        """Write ``record``, unless its epoch is there already."""
        if record["epoch"] in self._epochs:
            return
        self._epochs.add(record["epoch"])
        with self._path.open("a") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())


def counts(store: Store, ids: list[str]) -> dict[str, int]:
    """Return how many of the distinct cells ``ids`` are ``cells``, ``done``, ``diverged``, ``failed``, ``quarantined``,
    ``running`` and ``todo``.

    The diverged are among the done. ``todo`` are those that the next run of the grid would run: all that are neither
    done nor running nor quarantined; the failed are among them.
    """
    return _count([_state(store, cell_id) for cell_id in ids])


@dataclass(frozen=True)
class _State:
    """What is counted of a cell."""

    record: CellRecord
    running: bool
    code: str | None

    @property
    def quarantined(self) -> bool:
        return not self.running and bool((self.record.failure or {}).get("quarantined"))


def _state(store: Store, cell_id: str, *, code: bool = False) -> _State:
    record = store.read(cell_id)
    running = not record.ended and store.is_running(cell_id)
    return _State(record, running, staleness(store.root, record) if code else None)


def _count(states: list[_State]) -> dict[str, int]:
    statuses = Counter(state.record.status for state in states)
    running = sum(state.running for state in states)
    quarantined = sum(state.quarantined for state in states)
    done = statuses["done"] + statuses["diverged"]
    return {
        "cells": len(states),
        "done": done,
        "diverged": statuses["diverged"],
        "failed": statuses["failed"],
        "quarantined": quarantined,
        "running": running,
        "todo": len(states) - done - running - quarantined,
    }


def _count_code(states: list[_State]) -> dict[str, int]:
    codes = Counter(state.code for state in states)
    return {"stale": codes["stale"], "unknown_code": codes["unknown"]}


def status(store: Store) -> dict[str, Any]:
    """Return the counts over every stored plan together, and for each plan by itself, with those of the code.

    Each cell is looked at once, however many plans share it.
    """
    plans = read_plans(store.root)
    states = {cell_id: _state(store, cell_id, code=True) for cell_id in sorted({i for plan in plans for i in plan.ids})}
    each = []
    for plan in plans:
        named = {"grid": plan.grid, "key": plan.key, "seeds": list(plan.seeds)}
        about = {"dataset": plan.context.get("dataset"), "budget": plan.context.get("budget")}
        of_plan = [states[cell_id] for cell_id in plan.ids]
        each.append({**named, **about, **_count(of_plan), **_count_code(of_plan)})
    failures = [
        {
            "cell": cell_id,
            "error": failure["error"],
            "attempts": failure.get("attempts", 1),
            "quarantined": bool(failure.get("quarantined")),
        }
        for cell_id, state in states.items()
        if (failure := state.record.failure)
    ]
    whole = list(states.values())
    return {**_count(whole), **_count_code(whole), "plans": each, "failures": failures}


def find_cell(store: Store, text: str) -> str:
    """Return the one cell of the store whose id is ``text`` or begins with it.

    Raises:
        StoreError: none does, or several do.
    """
    ids = sorted(path.name for path in (store.root / "cells").glob("*") if path.is_dir())
    found = [cell_id for cell_id in ids if cell_id.startswith(text)]
    if len(found) == 1 or text in found:
        return text if text in found else found[0]
    rule = "A cell must be named by its id, or by the beginning of one id alone"
    if found:
        more = ", ..." if len(found) > 5 else ""
        raise StoreError(
            f"{rule}, but {text!r} begins {len(found)} in {store.root}: {', '.join(found[:5])}{more}. "
            "Give more of its digits."
        )
    close = get_close_matches(text, ids, n=1)
    hint = f"Did you mean {close[0]}? " if close else ""
    raise StoreError(
        f"{rule}, but none of the {len(ids)} cells in {store.root} begins with {text!r}. {hint}"
        "`dfkd plan GRID --json` lists a grid's cells; another store is named with `--store`."
    )


def cell_config(store: Store, cell_id: str) -> dict[str, Any]:
    """Return a cell's config.json."""
    content = read_json(store.cell(cell_id) / "config.json")
    if content is None:
        raise StoreError(f"Cell {cell_id} must have been planned, but {store.cell(cell_id)} holds no config.json.")
    return content
