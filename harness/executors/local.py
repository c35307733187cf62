"""The plain executor: one cell after the other in this process. For debugging, tests and machines without Ray."""

from collections.abc import Callable, Sequence
from functools import partial

from dfkd.loop import Record
from harness.cells import run_cell
from harness.executors.feed import PATIENCE, Feed
from harness.inputs import Where
from harness.leases import LeaseLostError
from harness.room import Outcome, Room
from harness.store import CellBusyError


def run_local(ids: Sequence[str], where: Where, room: Room) -> Outcome:
    """Run the cells in order. Resources are not divided: there is one cell at a time."""
    deaths = {cell_id: death for cell_id in ids if (death := _run(cell_id, where))}
    return Outcome(room, deaths)


def stream_local(feed: Feed, where: Where, room: Room) -> Room:
    """Run the feed's cells one after the other, whatever the room, which is all that a cell can have."""
    while (cell_id := feed.next_cell()) is not None:
        if death := _run(cell_id, where, partial(feed.report, cell_id), patience=PATIENCE):
            feed.died(cell_id, death)
        feed.done(cell_id)
    return room


def _run(
    cell_id: str, where: Where, report: Callable[[Record], bool] | None = None, *, patience: float = 0.0
) -> str | None:
    """Run a cell; return what it failed of, which ``run_cell`` has recorded unless the disk was full."""
    try:
        run_cell(cell_id, where, report=report, patience=patience)
    except (CellBusyError, LeaseLostError):  # another process runs it, and its result will be in the store
        return None
    except Exception as error:  # the other cells do not depend on it
        return f"{type(error).__name__}: {error}"
    return None
