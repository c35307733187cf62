"""``dfkd gc``: delete what the store can do without."""

from typing import Annotated

import typer
from rich.console import Console

from harness.cleaning import delete, leftovers
from harness.cli.options import DEFAULT_STORE, StoreOption, guarded
from harness.live import live_drivers
from harness.store import existing_store


@guarded
def gc(
    store: StoreOption = DEFAULT_STORE,
    yes: Annotated[bool, typer.Option("--yes", help="Delete them; without it they are only listed.")] = False,
) -> int:
    """List states of finished cells and half-written files that a crash left; delete them with --yes.

    Results, students, pictures, logs and former results stay, and so does everything of a running cell and the state
    of an unfinished one.
    """
    opened = existing_store(store, "cleaned")
    root = opened.root
    console = Console(highlight=False, soft_wrap=True)
    for driver in live_drivers(opened):
        console.print(f"In use by {driver}: what it runs is left alone.", markup=False)
    found = leftovers(opened)
    for leftover in found:
        path = leftover.path.relative_to(root)
        console.print(f"{leftover.size / 2**20:10.2f} MiB  {path}: {leftover.reason}", markup=False)
    total = sum(leftover.size for leftover in found) / 2**20
    if not yes:
        way_on = " Nothing was deleted: `dfkd gc --yes` deletes them." if found else ""
        console.print(f"{len(found)} files, {total:.2f} MiB, that nobody needs.{way_on}", markup=False)
        return 0
    gone = [leftover for leftover in found if delete(opened, leftover)]
    freed = sum(leftover.size for leftover in gone) / 2**20
    busy = f" {len(found) - len(gone)} stay: their cells are running." if len(gone) < len(found) else ""
    console.print(f"Deleted {len(gone)} files, {freed:.2f} MiB.{busy}")
    return 0
