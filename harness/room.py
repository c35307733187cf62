"""What a cell is given to run in, and what an executor made of it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Room:
    """The share of a machine that each cell gets."""

    cpus: float
    """Cores."""
    gpus: float
    """GPUs, or a share of one."""
    workers: int | None = None
    """Cells at a time; None for as many as there is room for."""
    address: str | None = None
    """Of a running Ray cluster to join; None to start Ray here."""

    def doubled(self, whole: "Room") -> "Room":
        """Return twice the share, so that half as many cells run side by side, but no more than the ``whole``."""
        return replace(self, cpus=min(2 * self.cpus, whole.cpus), gpus=min(2 * self.gpus, whole.gpus))

    def is_alone(self, whole: "Room") -> bool:
        """Return whether no two cells fit into the ``whole``, so that a cell has no company."""
        return 2 * self.cpus > whole.cpus and (not self.gpus or 2 * self.gpus > whole.gpus)

    def memory_share(self, whole: "Room") -> float:
        """Return the part of a memory that is a cell's, beside as much company as the ``whole`` has room for: of a
        GPU's if it has one, else of the machine's."""
        return self.gpus or 1 / max(1.0, min(whole.cpus // self.cpus, self.workers or math.inf))


@dataclass(frozen=True)
class Outcome:
    """What an executor knows that the store does not."""

    whole: Room
    """The room of a cell without company: the largest machine's cores, and one GPU if cells have any."""
    deaths: Mapping[str, str] = field(default_factory=dict)
    """What was said of each cell whose worker ended before it could record why."""
