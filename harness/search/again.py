"""Cells of a search that came to no result and are run again: those that failed, and those that lacked memory."""

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from harness.failures import INPUT, KILLED, MEMORY, attempts, forgive, kernel_kills, record_death, says_memory
from harness.leases import Watcher
from harness.room import Room
from harness.store import Store

PERIOD = 1.0
"""Seconds between two looks at cells whose workers died on another machine, it may be."""


class Again:
    """Decides, as ``harness.rounds.Rounds`` does for a grid, which cells are run again and in what room.

    A cell that failed goes on from its last whole epoch, before anything new is suggested, until it has failed more
    than ``retries`` times. One for which memory did not suffice beside others waits until these have ended; then all go
    on with half the company, and the attempt does not count.
    """

    def __init__(self, store: Store, *, retries: int, say: Callable[[str], None] = lambda text: None) -> None:
        self.due: deque[str] = deque()
        """Cells to be run next."""
        self._store, self._retries, self._say = store, retries, say
        self._short: list[str] = []
        self._deaths: dict[str, tuple[str, str]] = {}
        self._alone = False
        self._kills = kernel_kills()

    @property
    def drains(self) -> bool:
        """Return whether no cell is to start before those that run have ended, and the room has become larger."""
        return bool(self._short)

    @property
    def is_over(self) -> bool:
        """Return whether nothing is left to be run again."""
        return not (self.due or self._short or self._deaths)

    def died(self, cell_id: str, text: str) -> None:
        """Record a failure where a worker was killed, by the system for want of memory say, and had no time to.

        A worker on a machine that may have died with it is looked at in ``gather``.
        """
        kills = kernel_kills()
        kind = MEMORY if kills > self._kills or says_memory(text) else KILLED
        self._kills = kills
        if self._store.read(cell_id).status != "todo":
            return
        if not self._store.is_held(cell_id):
            with suppress(OSError):  # no room on the disk: the next call goes on from here
                record_death(self._store, cell_id, text, kind=kind)
        elif text:
            self._deaths[cell_id] = (text, kind)

    def takes(self, cell_id: str) -> bool:
        """Return whether a cell that has just ended is to be run again, which is noted here."""
        if cell_id in self._deaths:
            return True
        failure = self._store.read(cell_id).failure
        if failure is None or failure.get("kind") == INPUT:
            return False
        if failure.get("kind") == MEMORY and not self._alone:
            forgive(self._store, cell_id)
            self._short.append(cell_id)
        elif attempts(self._store, cell_id) <= self._retries:
            self.due.append(cell_id)
        else:
            return False
        self._store.forget_failure(cell_id)
        return True

    def gather(self, room: Room, whole: Room) -> Room:
        """Return the room for what is to be run again, once nothing runs any more; ``whole`` is one without company.

        Waits for the leases of workers whose machines died.
        """
        self._bury()
        short, self._short = self._short, []
        self.due.extend(short)
        self._alone = room.is_alone(whole)
        if not short or self._alone:
            return room
        self._say(f"Memory did not suffice for {len(short)} trials beside others: again with half the company.")
        larger = room.doubled(whole)
        self._alone = larger.is_alone(whole)
        return larger

    def _bury(self) -> None:
        """Take up the cells of workers that are dead, once their leases are known to be."""
        watcher = Watcher()
        while self._deaths:
            for cell_id, (text, kind) in list(self._deaths.items()):
                folder = self._store.cell(cell_id)
                if watcher.died(folder):
                    watcher.bury(folder)
                if self._store.is_held(cell_id):
                    continue
                del self._deaths[cell_id]
                if self._store.read(cell_id).status == "todo":
                    with suppress(OSError):
                        record_death(self._store, cell_id, text, kind=kind)
                if not self.takes(cell_id):
                    self.due.append(cell_id)  # where it is found to have ended
            if self._deaths:
                time.sleep(PERIOD)
