"""Which drivers work on a store just now: each holds a lease of its own, wherever it runs.

<store>/drivers/<name>/about.json    its command, its plan and its tracking URI
"""

import os
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

from harness.leases import Holder, hold, is_held, working
from harness.records import Plan, read_json, read_plan, write_json
from harness.store import Store, StoreError


@dataclass(frozen=True)
class Driver:
    """A command that runs cells of the store."""

    holder: Holder
    """Its process."""
    command: str
    """As it was given."""
    plan: str
    """Key of its plan."""
    tracking_uri: str
    """Where it mirrors to."""

    def __str__(self) -> str:
        return f"`{self.command}`, {self.holder}"


@contextmanager
def driving(store: Store, *, plan: str, tracking_uri: str) -> Iterator[None]:
    """Make this process known as a driver of the store, until the block ends."""
    drivers = store.root / "drivers"
    for folder in drivers.glob("*/"):
        if not is_held(folder):
            shutil.rmtree(folder, ignore_errors=True)  # of a driver that was killed
    if not list(drivers.glob("*/")):
        shutil.rmtree(store.root / "scratch", ignore_errors=True)
    folder = drivers / f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
    with hold(folder, patience=0):
        command = " ".join(["dfkd", *sys.argv[1:]])
        write_json(folder / "about.json", {"command": command, "plan": plan, "tracking_uri": tracking_uri})
        try:
            yield
        finally:
            (folder / "about.json").unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def live_drivers(store: Store) -> list[Driver]:
    """Return the drivers that work on the store, as far as one look can tell, without this process's."""
    found = []
    for folder in sorted((store.root / "drivers").glob("*/")):
        about, holder = read_json(folder / "about.json"), working(folder)
        if about is not None and holder is not None and not _is_own(holder):
            found.append(Driver(holder, about["command"], about["plan"], about["tracking_uri"]))
    return found


def _is_own(holder: Holder) -> bool:
    return holder.pid == os.getpid() and not holder.elsewhere


def refuse_live(store: Store, what: str) -> None:
    """Raise StoreError, naming the drivers, if any works on the store while ``what`` wants it to itself."""
    if drivers := live_drivers(store):
        named = "; ".join(map(str, drivers))
        raise StoreError(
            f"{what} must have the store to itself, but {store.root} is in use by {named}. Wait for it, or stop it."
        )


def plans_of_others(store: Store, tracking_uri: str) -> list[Plan]:
    """Return the plans of the other live drivers that mirror to the same place."""
    keys = {driver.plan for driver in live_drivers(store) if driver.tracking_uri == tracking_uri}
    plans = (read_plan(store.root / "plans" / f"{key}.json") for key in sorted(keys))
    return [plan for plan in plans if plan is not None]
