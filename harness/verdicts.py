"""What becomes of a cell after an attempt at it: decided alike for the cells of a grid and for those of a search."""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import Enum, auto

from harness.failures import INPUT, KILLED, MEMORY, attempts, forgive, kernel_kills, quarantine, record_death
from harness.leases import Watcher
from harness.room import Room
from harness.store import Store


class Verdict(Enum):
    """What is to be done about a cell."""

    OVER = auto()
    """Nothing: it has ended, only a user can mend it, or it failed too often and is left alone from here on."""
    OPEN = auto()
    """Nothing is known to have failed: it was stopped on purpose, or another process runs it."""
    AGAIN = auto()
    """It failed, and goes on from its last whole epoch."""
    CROWDED = auto()
    """Memory did not suffice for it beside others: it goes on with less company, and the attempt does not count."""


class Judge:
    """Counts attempts and deaths of cells, of which each may fail ``retries`` times."""

    def __init__(self, store: Store, *, retries: int, say: Callable[[str], None] = lambda text: None) -> None:
        self._store, self._retries, self._say = store, retries, say
        self._watcher, self._kills = Watcher(), kernel_kills()
        self._late: dict[str, tuple[str, str]] = {}
        self._unrecorded: Counter[str] = Counter()

    @property
    def late(self) -> frozenset[str]:
        """Return the cells whose workers are known to have died, but whose leases are still held."""
        return frozenset(self._late)

    def is_held(self, cell_id: str) -> bool:
        """Return whether another process holds the cell; a holder that is found dead holds it no more."""
        folder = self._store.cell(cell_id)
        if self._watcher.died(folder):
            self._watcher.bury(folder)
        return self._store.is_held(cell_id)

    def died(self, deaths: Mapping[str, str]) -> None:
        """Take notice of cells whose workers ended, it may be before they could record why; texts say what is known.

        Where the system has killed something for want of memory since the last call, that was it. A cell that is still
        held, because its machine may have died too, waits for ``bury``; if nothing is known, another process runs it.
        """
        kills = kernel_kills()
        kind, self._kills = MEMORY if kills > self._kills else KILLED, kills
        for cell_id, text in deaths.items():
            if not self._store.is_held(cell_id):
                self._record(cell_id, text, kind)
            elif text:
                self._late[cell_id] = (text, kind)

    def bury(self) -> list[str]:
        """Return the cells, of those that ``died`` and were held, that are held no more: their deaths are recorded."""
        free = [cell_id for cell_id in self._late if not self.is_held(cell_id)]
        for cell_id in free:
            self._record(cell_id, *self._late.pop(cell_id))
        return free

    def _record(self, cell_id: str, text: str, kind: str) -> None:
        if self._store.read(cell_id).status != "todo":
            return
        try:
            record_death(self._store, cell_id, text, kind=kind)
        except OSError:  # no room on the disk
            self._unrecorded[cell_id] += 1

    def verdict(self, cell_id: str, *, alone: bool) -> Verdict:
        """Return what is to be done about a cell that ran, ``alone`` or beside others. One that failed too often is put
        in quarantine."""
        record = self._store.read(cell_id)
        kind = (record.failure or {}).get("kind")
        if record.ended or kind == INPUT:
            return Verdict.OVER
        if kind == MEMORY and not alone:
            forgive(self._store, cell_id)
            return Verdict.CROWDED
        if max(attempts(self._store, cell_id), self._unrecorded[cell_id]) <= self._retries:
            return Verdict.AGAIN if record.failure else Verdict.OPEN
        with suppress(OSError):
            quarantine(self._store, cell_id)
        return Verdict.OVER

    def give_way(self, room: Room, whole: Room, cells: str) -> Room:
        """Return the room for ``cells``, so many in words, for which memory did not suffice: half the company's."""
        self._say(f"Memory did not suffice for {cells} beside others: again with half the company.")
        return room.doubled(whole)
