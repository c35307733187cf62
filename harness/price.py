"""What the missing cells of a plan will cost, estimated from measured steps; and which of them a budget allows."""

import heapq
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dfkd import NUMERICS
from dfkd.config import RunConfig
from dfkd.overrides import flatten
from harness.plan import Cell
from harness.rates import Rates, like_cells, rates_of
from harness.records import read_log
from harness.shape import shape_of, steps_between
from harness.store import Store

HOUR = 3600.0


@dataclass(frozen=True)
class Slots:
    """What a cell is given, and how many run at a time."""

    number: int
    """Cells at a time."""
    cpus: float
    """Cores of a cell."""
    gpus: float
    """GPUs of a cell, or a share of one."""

    @property
    def unit(self) -> str:
        """Return what is counted: ``GPU`` where a cell has a share of one, else ``core``."""
        return "GPU" if self.gpus else "core"


def slots_here(*, cpus_per_trial: float, gpus_per_trial: float, gpus: int, number: int | None) -> Slots:
    """Return the slots of this machine, of which at least one; ``number`` of them where it is given."""
    possible = (os.cpu_count() or 1) // cpus_per_trial
    if gpus_per_trial:
        possible = min(possible, gpus // gpus_per_trial)
    return Slots(number or max(1, int(possible)), cpus_per_trial, gpus_per_trial)


@dataclass(frozen=True)
class Estimate:
    """What is left of one cell."""

    seconds: float
    """On its slot: training alone."""
    core_seconds: float
    """Of processor time, all threads."""
    source: str
    """``own log``, ``like cells`` or ``probe``."""
    memory: float = 0.0
    """Peak in bytes; 0 if it is not known."""


@dataclass(frozen=True)
class Price:
    """What the cells that are to do will cost, in the order in which they run."""

    estimates: Mapping[str, Estimate | None]
    """By cell; None where no like cell was found and nothing was probed."""
    finished: int
    """Finished like cells that were measured on."""
    under_way: int
    """Unfinished like cells that were measured on."""
    probed: int
    """Shapes that were probed."""
    slots: Slots
    """Where they run."""

    @property
    def unknown(self) -> tuple[str, ...]:
        """Return the cells without an estimate."""
        return tuple(cell_id for cell_id, estimate in self.estimates.items() if estimate is None)

    def hours(self, cells: Iterable[str] | None = None) -> float:
        """Return the GPU-hours of ``cells``, or core-hours where they have no GPU; of all cells if none are given."""
        chosen = self.estimates if cells is None else cells
        known = [estimate for cell_id in chosen if (estimate := self.estimates[cell_id])]
        if self.slots.gpus:
            return sum(estimate.seconds for estimate in known) * self.slots.gpus / HOUR
        return sum(estimate.core_seconds for estimate in known) / HOUR

    @property
    def wall_seconds(self) -> float:
        """Return when the last cell ends, if each starts as soon as a slot is free."""
        free = [0.0] * self.slots.number
        for estimate in self.estimates.values():
            if estimate is not None:
                heapq.heapreplace(free, free[0] + estimate.seconds)
        return max(free)

    @property
    def peak_memory(self) -> float:
        """Return the highest peak of a cell that has an estimate, in bytes; 0 if none is known."""
        return max((estimate.memory for estimate in self.estimates.values() if estimate), default=0.0)

    def sources(self) -> dict[str, int]:
        """Return how many cells were estimated from their ``own log``, from ``like cells`` and from a ``probe``."""
        names = [estimate.source for estimate in self.estimates.values() if estimate]
        return {name: names.count(name) for name in ("own log", "like cells", "probe")}

    def affordable(self, budget: float) -> tuple[str, ...]:
        """Return the cells that run within ``budget`` hours: in order, each whose estimate fits into what is left."""
        chosen, left = [], budget
        for cell_id in self.estimates:
            if self.estimates[cell_id] is not None and self.hours([cell_id]) <= left:
                chosen.append(cell_id)
                left -= self.hours([cell_id])
        return tuple(chosen)


def _estimate(rates: Rates | None, steps: Mapping[str, int], source: str) -> Estimate | None:
    """Return what ``steps`` take at ``rates``; None if a kind of step among them was not measured."""
    if rates is None or any(number and phase not in rates.seconds for phase, number in steps.items()):
        return None
    seconds = sum(number * rates.seconds[phase] for phase, number in steps.items() if number)
    return Estimate(seconds, seconds * rates.cores, source, rates.memory)


def price_cells(
    cells: Mapping[str, Cell],
    todo: Sequence[str],
    *,
    store: Store,
    machine: Mapping[str, Any],
    slots: Slots,
    probe: Callable[[RunConfig], Rates] | None = None,
    anew: Collection[str] = (),
) -> Price:
    """Return the price of the cells ``todo``, in their order. Reads the store; runs nothing but ``probe``.

    A cell that is under way is priced from its own log, another from like cells: of the same shape (``shape_of``), on
    this ``machine``, by the same ``NUMERICS``. ``probe`` measures each shape that has none. A cell
    that is to run ``anew`` starts at its first epoch.
    """
    flat = {cell_id: flatten(cells[cell_id].config) for cell_id in todo}
    shapes = {cell_id: shape_of(config) for cell_id, config in flat.items()}
    like = like_cells(store, shapes.values(), machine=machine, numerics=NUMERICS)
    probed: dict[tuple[Any, ...], Rates] = {}
    estimates: dict[str, Estimate | None] = {}
    for cell_id in todo:
        config, shape = flat[cell_id], shapes[cell_id]
        log = [] if cell_id in anew else read_log(store.cell(cell_id))
        steps = steps_between(config, len(log) + 1, cells[cell_id].config.schedule.epochs)
        found = _estimate(rates_of([(config, log)], device=machine["device"]), steps, "own log")
        if found is None and shape in like:
            found = _estimate(like[shape].rates, steps, "like cells")
        if found is None and probe is not None:
            if shape not in probed:
                probed[shape] = probe(cells[cell_id].config)
            found = _estimate(probed[shape], steps, "probe")
        estimates[cell_id] = found
    used = {shapes[cell_id] for cell_id, estimate in estimates.items() if estimate and estimate.source == "like cells"}
    return Price(
        estimates,
        finished=sum(like[shape].finished for shape in used),
        under_way=sum(like[shape].under_way for shape in used),
        probed=len(probed),
        slots=slots,
    )


def spent_hours(store: Store, cells: Iterable[str], slots: Slots) -> float:
    """Return the hours that the finished epochs of ``cells`` took, in the unit of ``slots``."""
    records = [record for cell_id in cells for record in read_log(store.cell(cell_id))]
    if slots.gpus:
        return sum(record["seconds"] for record in records) * slots.gpus / HOUR
    return sum(record["cpu_seconds"] for record in records) / HOUR
