"""What a command that ran cells says of them at its end, and its exit status."""

import shutil
from collections.abc import Collection

from rich.console import Console

from harness.cli.options import errors
from harness.records import CellRecord, Plan
from harness.store import Store


def conclude(plan: Plan, store: Store, console: Console, *, left_out: Collection[str] = ()) -> int:
    """List the cells that are not done, with their errors, but for those ``left_out``; return the exit status."""
    names = {cell.id: f"{cell.row}, seed {cell.seed}" for cell in reversed(plan.cells)}
    records = [store.read(cell_id) for cell_id in plan.ids]
    open_cells = [record for record in records if not record.ended]
    wanted = [record for record in open_cells if record.id not in left_out]
    for record in wanted:
        errors.print(f"failed: {names[record.id]}: {_why_open(record, store)}", markup=False)
    if any((record.failure or {}).get("quarantined") for record in wanted):
        errors.print("Quarantined cells are left alone; `--release` tries them again.", markup=False)
    diverged = [record for record in records if record.diverged]
    for record in diverged:
        assert record.diverged is not None
        console.print(f"diverged: {names[record.id]}: {record.diverged['error']}", markup=False)
    done = len(plan.ids) - len(open_cells)
    of_them = f" ({len(diverged)} of them diverged)" if diverged else ""
    console.print(f"{done} of {len(plan.ids)} cells done{of_them}, in {store.root}", soft_wrap=True)
    return 1 if wanted else 0


def _why_open(record: CellRecord, store: Store) -> str:
    """Return why a cell has not ended, in one line and where to read more."""
    if record.failure is None and store.is_held(record.id):
        return "not finished: another process may be running it"
    if record.failure is None:
        free = shutil.disk_usage(store.root).free / 2**20
        return f"not finished, and there is no record why; {free:.0f} MiB are free on the store's disk"
    left_alone = (
        f"quarantined after {record.failure['attempts']} attempts: " if record.failure.get("quarantined") else ""
    )
    trace = store.cell(record.id) / "failure.json"
    return f"{left_alone}{record.failure['error']}\n        traceback in {trace}"
