"""Running cells until each has ended: round by round, with retries, and beside other drivers of the same store."""

import time
from collections.abc import Callable, Collection, Iterable, Sequence

from harness.inputs import Where
from harness.leases import last_holder
from harness.room import Outcome, Room
from harness.store import Store
from harness.verdicts import Judge, Verdict

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
        self._store, self._where, self._execute, self._say = store, where, execute, say
        self._judge = Judge(store, retries=retries, say=say)
        self._room = self._whole = room

    def run(self, ids: Iterable[str]) -> None:
        """Return when every cell of ``ids`` has ended or is left alone."""
        left, told = list(ids), False
        while left:
            free = [cell_id for cell_id in left if not self._judge.is_held(cell_id)]
            # What a worker died of on a machine that had first to be watched, before the cell is tried again.
            if buried := self._judge.bury():
                left = self._going_on(left, buried)
            elif free:
                left = self._round(free, left)
            else:
                if not told:
                    self._say(self._waiting(left))
                told = True
                time.sleep(PERIOD)
                left = [cell_id for cell_id in left if not self._store.read(cell_id).ended]

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
        outcome = self._execute(free, self._where, self._room)
        self._whole = outcome.whole
        self._judge.died(outcome.deaths)
        return self._going_on(left, free)

    def _going_on(self, left: Sequence[str], ran: Collection[str]) -> list[str]:
        """Return the cells of those ``left`` that are to be run again, or are run by others; ``ran`` are those that ran
        here."""
        alone = self._room.is_alone(self._whole)
        verdicts = {cell_id: self._judge.verdict(cell_id, alone=alone or cell_id not in ran) for cell_id in left}
        short = sum(verdict is Verdict.CROWDED for verdict in verdicts.values())
        if short:
            self._room = self._judge.give_way(self._room, self._whole, f"{short} cells")
        return [cell_id for cell_id, verdict in verdicts.items() if verdict is not Verdict.OVER]
