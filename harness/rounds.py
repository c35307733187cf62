"""Running cells until each has ended: round by round, with retries, and beside other drivers of the same store."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from harness.failures import (
    INPUT,
    KILLED,
    MEMORY,
    attempts,
    forgive,
    kernel_kills,
    quarantine,
    record_death,
)
from harness.inputs import Where
from harness.leases import Watcher, last_holder
from harness.room import Outcome, Room
from harness.store import Store

PERIOD = 1.0
"""Seconds between two looks at cells that other processes run."""

Execute = Callable[[Sequence[str], Where, Room], Outcome]


class Rounds:
    """Runs cells until each is done, has diverged, or has failed more than ``retries`` times.

    Each round gives the executor every cell that nobody holds. A cell that failed is tried again in the next round,
    from its last whole epoch; one for which memory did not suffice beside others, with half the company, and without
    counting. Cells that other processes hold are waited for: when such a process is dead, they are run here.
    """

    def __init__(
        self, store: Store, where: Where, room: Room, *, execute: Execute, retries: int, say: Callable[[str], None]
    ) -> None:
        self._store, self._where, self._room = store, where, room
        self._execute, self._retries, self._say = execute, retries, say
        self._watcher = Watcher()
        self._tries: Counter[str] = Counter()
        self._deaths: dict[str, str] = {}

    def run(self, ids: Iterable[str]) -> None:
        """Return when every cell of ``ids`` has ended or is left alone."""
        left, told = list(ids), False
        while left:
            free = [cell_id for cell_id in left if not self._held(cell_id)]
            # What a worker died of on a machine that had first to be watched, before the cell is tried again.
            dead = [cell_id for cell_id in free if cell_id in self._deaths]
            for cell_id in dead:
                self._note_death(cell_id, self._deaths.pop(cell_id), KILLED)
            if dead:
                left = [cell_id for cell_id in left if self._goes_on(cell_id, crowded=False)]
            elif free:
                left = self._round(free, left)
            else:
                if not told:
                    self._say(self._waiting(left))
                told = True
                time.sleep(PERIOD)
                left = [cell_id for cell_id in left if not self._store.read(cell_id).ended]

    def _held(self, cell_id: str) -> bool:
        """Return whether another process holds the cell; a holder that is found dead holds it no more."""
        folder = self._store.cell(cell_id)
        if self._watcher.died(folder):
            self._watcher.bury(folder)
        return self._store.is_held(cell_id)

    def _waiting(self, left: Sequence[str]) -> str:
        holders = {str(holder) for cell_id in left if (holder := last_holder(self._store.cell(cell_id)))}
        return (
            f"{len(left)} cells are run by others: {', '.join(sorted(holders))}. Waiting for them; "
            "if they die, the cells are run here. Ctrl-C leaves them to it."
        )

    def _round(self, free: Sequence[str], left: Sequence[str]) -> list[str]:
        """Run the cells that are ``free``; return which of those ``left`` are to go on."""
        for cell_id in free:
            self._store.forget_failure(cell_id)
        kills = kernel_kills()
        outcome = self._execute(free, self._where, self._room)
        kind = MEMORY if kernel_kills() > kills else KILLED
        for cell_id, text in outcome.deaths.items():
            if self._store.is_held(cell_id):
                self._deaths[cell_id] = text
            else:
                self._note_death(cell_id, text, kind)
        crowded = not self._room.is_alone(outcome.whole)
        short = [cell_id for cell_id in free if self._lacked_memory(cell_id)]
        going_on = [cell_id for cell_id in left if self._goes_on(cell_id, crowded=crowded and cell_id in short)]
        if short and crowded:
            self._room = self._room.doubled(outcome.whole)
            self._say(f"Memory did not suffice for {len(short)} cells beside others: again with half the company.")
        return going_on

    def _lacked_memory(self, cell_id: str) -> bool:
        failure = self._store.read(cell_id).failure
        return failure is not None and failure.get("kind") == MEMORY

    def _note_death(self, cell_id: str, text: str, kind: str) -> None:
        """Record a failure where a worker had no time to: it was killed, or its machine died."""
        if self._store.read(cell_id).status != "todo":
            return
        try:
            record_death(self._store, cell_id, text, kind=kind)
        except OSError:  # no room on the disk
            self._tries[cell_id] += 1

    def _goes_on(self, cell_id: str, *, crowded: bool) -> bool:
        """Return whether a cell of this round is to be run again, or is run by another; quarantine it if it failed too
        often."""
        record = self._store.read(cell_id)
        if record.ended or (record.failure or {}).get("kind") == INPUT:
            return False
        if crowded:
            forgive(self._store, cell_id)
            return True
        if max(attempts(self._store, cell_id), self._tries[cell_id]) <= self._retries:
            return True
        with suppress(OSError):
            quarantine(self._store, cell_id)
        return False
