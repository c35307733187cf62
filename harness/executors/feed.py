"""A feed of cells, for searches: what to run next depends on what came out."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol


class Feed(Protocol):
    """Where an executor gets cells from. Only the driver's main thread uses it."""

    def next_cell(self) -> str | None:
        """Return a prepared cell, or None if there will be no more."""
        ...

    def report(self, cell_id: str, record: Mapping[str, Any]) -> bool:
        """Take notice of a record of a running cell; return whether the cell is to stop here, unfinished."""
        ...

    def done(self, cell_id: str) -> None:
        """Take notice that a cell has ended; what came out is in the store."""
        ...


class Listed:
    """A feed of given cells, in their order."""

    def __init__(self, ids: Iterable[str]) -> None:
        self._ids = iter(ids)

    def next_cell(self) -> str | None:
        """Return the next cell, or None after the last."""
        return next(self._ids, None)

    def report(self, cell_id: str, record: Mapping[str, Any]) -> bool:
        """Return False: every cell is run to its end."""
        return False

    def done(self, cell_id: str) -> None:
        """Do nothing: what comes next does not depend on it."""
