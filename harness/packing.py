"""How many cells to run side by side: decided by what probes measured alone and shared.

The decisions are functions of measurements alone. On a processor they choose cells times threads, on a GPU how many
cells share it, under a hard cap of memory for each.
"""

from collections.abc import Sequence
from dataclasses import dataclass

HEADROOM = 1.2
"""What a cell is given of memory, over what a probe of a few steps was seen to use."""

WORTH = 1.05
"""How many times as many steps a second more company must bring: it costs memory, and each cell ends later."""

USABLE = 0.95
"""Share of a device's memory that cells get in all."""


@dataclass(frozen=True)
class Measured:
    """So many probes at once."""

    cells: int
    """Processes that took steps at the same time."""
    threads: int
    """Of each."""
    seconds: float
    """Of one round of steps in each, the slowest of them."""
    memory: int
    """Bytes that a process used at its peak, the largest of them: on a GPU its own, else the machine's."""

    @property
    def rate(self) -> float:
        """Return rounds in a second, of all together."""
        return self.cells / self.seconds


@dataclass(frozen=True)
class Packing:
    """What was decided."""

    cells: int
    """Side by side, on the machine's processor or on one GPU."""
    threads: int
    """Of each."""
    gain: float
    """How many times as many steps a second as one cell at a time is measured to bring, at best."""


def candidates(cores: int) -> list[tuple[int, int]]:
    """Return cells and threads that fill the cores of a processor, from a single cell on."""
    return [(cores // threads, threads) for threads in range(cores, 0, -1) if cores % threads == 0]


def fitting(memory: int, available: int) -> int:
    """Return how many cells of a peak ``memory`` fit into ``available`` bytes, at least one."""
    return max(1, int(available * USABLE // (memory * HEADROOM)))


def choose(measured: Sequence[Measured], *, available: int) -> Packing:
    """Return the packing with the most steps a second among those that fit into ``available`` bytes of memory.

    More cells at a time must bring ``WORTH`` times as much as the best with fewer; a single cell always fits.
    """
    alone = [each for each in measured if each.cells == 1]
    if not alone:
        raise ValueError("A cell must have been measured alone.")
    best = max(alone, key=lambda each: each.rate)
    base = best.rate
    for each in sorted(measured, key=lambda each: each.cells):
        if each.cells > best.cells and each.cells <= fitting(each.memory, available) and each.rate > WORTH * best.rate:
            best = each
    return Packing(best.cells, best.threads, best.rate / base)


def next_company(measured: Sequence[Measured], *, available: int, most: int) -> int | None:
    """Return how many cells to measure next on one GPU: twice as many, while that fits and the last doubling was worth
    it; None if enough is known."""
    last = max(measured, key=lambda each: each.cells)
    if last.cells > 1:
        fewer = max((each for each in measured if each.cells < last.cells), key=lambda each: each.cells)
        if last.rate < WORTH * fewer.rate:
            return None
    twice = 2 * last.cells
    return twice if twice <= min(most, fitting(last.memory, available)) else None


def memory_cap(share: float, *, total: int, context: int) -> float:
    """Return the fraction of a GPU's memory that PyTorch may allocate in a cell with a ``share`` of the GPU.

    The ``context`` of a process, in bytes, is outside of what PyTorch counts, and comes off.
    """
    return max(0.01, min(1.0, share * USABLE - context / total))


def data_limit(share: float, *, total: int, held: int, mapped: int) -> int:
    """Return the bytes that a process may map to have a ``share`` of a machine's ``total`` memory.

    What it has ``mapped`` before, without using it, for the stacks of its threads, say, stays free to it: the process
    may grow by what its share has over what it holds by now.
    """
    return mapped + max(0, int(total * USABLE * share) - held)
