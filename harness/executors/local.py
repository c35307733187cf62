"""The plain executor: one cell after the other in this process. For debugging, tests and machines without Ray."""

from collections.abc import Sequence

from harness.cells import run_cell
from harness.inputs import Where


def run_local(ids: Sequence[str], where: Where, cpus_per_trial: float, gpus_per_trial: float) -> None:
    """Run the cells in order. Resources are not divided: there is one cell at a time."""
    for cell_id in ids:
        try:
            run_cell(cell_id, where)
        except Exception:  # run_cell has recorded it, and the other cells do not depend on it
            continue
