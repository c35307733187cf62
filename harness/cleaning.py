"""What a store can do without: states of finished cells, and files that a crash left half-written."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.records import STATE_FILES
from harness.store import CellBusyError, Store

OLD = 24 * 3600.0
"""Seconds after which a half-written file outside of cells is a leftover: nothing there says whether it is written."""


@dataclass(frozen=True)
class Leftover:
    """A file that can be deleted."""

    path: Path
    """Where it is."""
    size: int
    """In bytes."""
    reason: str
    """Why nobody needs it."""
    cell: str | None
    """The cell it lies in, if any."""


def leftovers(store: Store) -> list[Leftover]:
    """Return what can be deleted: nothing of a running cell, and no state of an unfinished one."""
    found = [leftover for folder in sorted(store.root.glob("cells/*/")) for leftover in _of_cell(store, folder.name)]
    now = time.time()
    for path in sorted(store.root.glob("*/**/.*.part")):
        old = now - path.stat().st_mtime > OLD
        if old and path.relative_to(store.root).parts[0] != "cells":
            found.append(Leftover(path, path.stat().st_size, "left half-written", None))
    return found


def _of_cell(store: Store, cell_id: str) -> Iterator[Leftover]:
    if store.is_running(cell_id):
        return
    folder = store.cell(cell_id)
    if store.read(cell_id).ended:
        for name in (*STATE_FILES, "training.json"):
            path = folder / name
            if path.exists():
                yield Leftover(path, path.stat().st_size, "needed by unfinished cells alone", cell_id)
    for path in sorted([*folder.rglob(".*.part"), *folder.glob("log.part")]):
        yield Leftover(path, path.stat().st_size, "left half-written", cell_id)


def delete(store: Store, leftover: Leftover) -> bool:
    """Delete the file, unless its cell is running by now; return whether it is gone."""
    if leftover.cell is None:
        leftover.path.unlink(missing_ok=True)
        return True
    try:
        with store.lease(leftover.cell, patience=0):
            leftover.path.unlink(missing_ok=True)
    except CellBusyError:
        return False
    return True
