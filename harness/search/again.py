"""Cells of a search that came to no result and are run again: those that failed, and those that lacked memory."""

import time
from collections import deque
from collections.abc import Callable

from harness.room import Room
from harness.store import Store
from harness.verdicts import Judge, Verdict

PERIOD = 1.0
"""Seconds between two looks at cells whose workers died on another machine, it may be."""


class Again:
    """Says which cells of a search are run again, when, and in what room.

    A cell that failed goes on from its last whole epoch, before anything new is suggested, until it has failed more
    than ``retries`` times. One for which memory did not suffice beside others waits until these have ended; then all go
    on with half the company, and the attempt does not count.
    """

    def __init__(self, store: Store, *, retries: int, say: Callable[[str], None] = lambda text: None) -> None:
        self.due: deque[str] = deque()
        """Cells to be run next."""
        self._store, self._judge = store, Judge(store, retries=retries, say=say)
        self._short: list[str] = []
        self._alone = False

    @property
    def drains(self) -> bool:
        """Return whether no cell is to start before those that run have ended, and the room has become larger."""
        return bool(self._short)

    @property
    def is_over(self) -> bool:
        """Return whether nothing is left to be run again."""
        return not (self.due or self._short or self._judge.late)

    def died(self, cell_id: str, text: str) -> None:
        """Record a failure where a worker was killed, by the system for want of memory say, and had no time to.

        A worker on a machine that may have died with it is looked at in ``gather``.
        """
        self._judge.died({cell_id: text})

    def takes(self, cell_id: str) -> bool:
        """Return whether a cell that has just ended is to be run again, which is noted here."""
        if cell_id in self._judge.late:
            return True
        match self._judge.verdict(cell_id, alone=self._alone):
            case Verdict.CROWDED:
                self._short.append(cell_id)
            case Verdict.AGAIN:
                self.due.append(cell_id)
            case _:
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
        if short and not room.is_alone(whole):
            room = self._judge.give_way(room, whole, f"{len(short)} trials")
        self._alone = room.is_alone(whole)
        return room

    def _bury(self) -> None:
        """Take up the cells of workers that are dead, once their leases are known to be."""
        while self._judge.late:
            for cell_id in self._judge.bury():
                if not self.takes(cell_id):
                    self.due.append(cell_id)  # where it is found to have ended
            if self._judge.late:
                time.sleep(PERIOD)
