"""The run store on disk: preparing it, leases on cells, and each cell's log."""

import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from dfkd.errors import UserError
from harness.records import CellRecord, read_cell, read_json, read_log, read_plans
from harness.staleness import code_counts


class StoreError(UserError):
    """The store cannot be used."""


class CellBusyError(RuntimeError):
    """Another process is running the cell."""


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
            result = read_json(folder / "result.json")
            if result is None:
                return None
            moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime(result["finished"]))
            former = folder / "former" / f"{moment}-{'-'.join(each[:8] for each in result.get('trainer', ['unknown']))}"
            former.mkdir(parents=True, exist_ok=True)
            names = {path.name for path in folder.iterdir()} - {"config.json", "lease", "former", "result.json"}
            for name in (*sorted(names), "result.json"):  # the result last: without it the cell is not done
                (folder / name).replace(former / name)
        return former

    def is_running(self, cell_id: str) -> bool:
        """Return whether a process holds the cell's lease; a killed process holds none."""
        path = self.cell(cell_id) / "lease"
        if not path.exists():
            return False
        try:
            with FileLock(path, timeout=0):
                return False
        except Timeout:
            return True

    @contextmanager
    def lease(self, cell_id: str, *, patience: float) -> Iterator[None]:
        """Hold the cell for this process; wait up to ``patience`` seconds for a dying one to let go.

        Raises:
            CellBusyError: another process still runs the cell.
        """
        path = self.cell(cell_id) / "lease"
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(path, timeout=patience):
                yield
        except Timeout:
            raise CellBusyError(
                f"Cell {cell_id} is being run by another process, which holds {path}. Wait for it, or stop it."
            ) from None


def open_store(path: Path) -> Store:
    """Return the store at ``path``, made if it is not there; raise StoreError if it cannot be written."""
    root = path.expanduser().resolve()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root) as probe:
            probe.write(b"x")
    except OSError as error:
        raise StoreError(
            f"The store must be a folder that can be written, but {root} is not: {error.strerror}. "
            "Name another with `--store`."
        ) from None
    return Store(root)


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
    """Return how many of the distinct cells ``ids`` are ``cells``, ``done``, ``failed``, ``running`` and ``todo``.

    ``todo`` are those that the next run of the grid would run: all that are neither done nor running; the failed are
    among them.
    """
    statuses = {cell_id: store.read(cell_id).status for cell_id in ids}
    running = sum(status != "done" and store.is_running(cell_id) for cell_id, status in statuses.items())
    done = sum(status == "done" for status in statuses.values())
    return {
        "cells": len(statuses),
        "done": done,
        "failed": sum(status == "failed" for status in statuses.values()),
        "running": running,
        "todo": len(statuses) - done - running,
    }


def status(store: Store) -> dict[str, Any]:
    """Return the counts over every stored plan together, and for each plan by itself, with those of the code."""
    plans = read_plans(store.root)
    distinct = sorted({cell_id for plan in plans for cell_id in plan.ids})
    total = counts(store, distinct) | code_counts(store.root, distinct)
    each = [
        {
            "grid": plan.grid,
            "key": plan.key,
            "dataset": plan.context.get("dataset"),
            "budget": plan.context.get("budget"),
        }
        | {"seeds": list(plan.seeds)}
        | counts(store, list(plan.ids))
        | code_counts(store.root, plan.ids)
        for plan in plans
    ]
    failures = [
        {"cell": cell_id, "error": record.failure["error"]}
        for cell_id in distinct
        if (record := store.read(cell_id)).failure
    ]
    return {**total, "plans": each, "failures": failures}


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
