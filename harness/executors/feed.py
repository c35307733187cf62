"""A feed of cells, for searches: what to run next depends on what came out."""

from collections.abc import Mapping
from typing import Any, Protocol

PATIENCE = 10.0
"""Of a worker for a cell that another process holds: in a feed nobody else watches whether that one is alive."""


class Feed(Protocol):
    """Where an executor gets cells from. Only the driver's main thread uses it."""

    def next_cell(self) -> str | None:
        """Return a prepared cell, or None if there will be no more."""
        ...

    def report(self, cell_id: str, record: Mapping[str, Any]) -> bool:
        """Take notice of a record of a running cell; return whether the cell is to stop here, unfinished."""
        ...

    def died(self, cell_id: str, text: str) -> None:
        """Take notice that a cell's worker ended, it may be before it could record why; ``text`` is what is known."""
        ...

    def done(self, cell_id: str) -> None:
        """Take notice that a cell has ended; what came out is in the store."""
        ...
