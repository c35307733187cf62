"""The plain executor: one cell after the other in this process. For debugging, tests and machines without Ray."""

from collections.abc import Callable, Sequence
from functools import partial

from dfkd.loop import Record
from harness.cells import run_cell
from harness.executors.feed import Feed
from harness.inputs import Where


def run_local(ids: Sequence[str], where: Where, cpus_per_trial: float, gpus_per_trial: float) -> None:
    """Run the cells in order. Resources are not divided: there is one cell at a time."""
    for cell_id in ids:
        _run(cell_id, where)


def stream_local(feed: Feed, where: Where, cpus_per_trial: float, gpus_per_trial: float, workers: int | None) -> None:
    """Run the feed's cells one after the other, whatever the resources and the number of workers."""
    while (cell_id := feed.next_cell()) is not None:
        _run(cell_id, where, partial(feed.report, cell_id))
        feed.done(cell_id)


def _run(cell_id: str, where: Where, report: Callable[[Record], bool] | None = None) -> None:
    try:
        run_cell(cell_id, where, report=report)
    except Exception:  # run_cell has recorded it, and the other cells do not depend on it
        return
