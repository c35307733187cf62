"""The price of a plan on the command line: what it is, in words and as JSON, and what a budget leaves out."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from dfkd.errors import ConfigError
from harness.driver import Prepared, missing
from harness.inputs import EAGER, Execution
from harness.price import Price, Slots, price_cells, slots_here, spent_hours
from harness.records import Plan
from harness.store import Store


def check_budget(hours: float | None) -> None:
    """Raise ConfigError unless ``hours``, if given, are a budget."""
    if hours is not None and not 0 < hours < float("inf"):
        raise ConfigError(f"`--budget-hours` must be a finite number > 0, but it is {hours}.")


def price_plan(
    prepared: Prepared,
    store: Store,
    *,
    device: str,
    cpus_per_trial: float,
    gpus_per_trial: float | None,
    slots: int | None,
    probe: bool,
    data_root: Path | None,
    execution: Execution = EAGER,
    anew: Collection[str] = (),
) -> Price:
    """Return the price of the cells that the next run of the plan would run, those ``anew`` too, in its order.

    Raises:
        ConfigError: there is no such device.
    """
    import torch

    from harness.devices import pick_device
    from harness.environment import machine

    chosen = pick_device(device)
    on_gpu = chosen.startswith("cuda")
    threads = max(1, int(cpus_per_trial))
    here = slots_here(
        cpus_per_trial=cpus_per_trial,
        gpus_per_trial=gpus_per_trial if gpus_per_trial is not None else float(on_gpu),
        gpus=torch.cuda.device_count() if on_gpu else 0,
        number=slots,
    )
    measure = None
    if probe:
        from harness.probe import probe as take_steps

        def measure(config: Any) -> Any:
            teacher = prepared.inputs_of(config).teacher
            assert teacher is not None
            return take_steps(
                config,
                teacher=teacher.build(),
                data_root=data_root,
                device=chosen,
                threads=threads,
                execution=execution,
            )

    todo = [cell_id for cell_id in missing(store, prepared.plan.running_order, anew) if not store.is_running(cell_id)]
    return price_cells(
        prepared.cells,
        todo,
        store=store,
        machine=machine(torch.device(chosen), threads=threads) | asdict(execution),
        slots=here,
        probe=measure,
        anew=anew,
    )


def _counts(plan: Plan, todo: Collection[str], store: Store) -> dict[str, int]:
    started = sum(store.read(cell_id).epochs_done > 0 for cell_id in todo)
    return {
        "requested": len(plan.cells),
        "distinct": len(plan.ids),
        "under_way": started,
        "new": len(todo) - started,
    }


def price_json(plan: Plan, price: Price, store: Store) -> dict[str, Any]:
    """Return the price as numbers; hours are null where not a single cell has an estimate."""
    known = len(price.unknown) < len(price.estimates) or not price.estimates
    sources = {name.replace(" ", "_"): number for name, number in price.sources().items()}
    return {
        **_counts(plan, price.estimates, store),
        f"{price.slots.unit.lower()}_hours": price.hours() if known else None,
        "wall_seconds": price.wall_seconds if known else None,
        "slots": price.slots.number,
        "peak_memory_bytes": price.peak_memory or None,
        "estimated_from": {
            **sources,
            "finished_like_cells": price.finished,
            "unfinished_like_cells": price.under_way,
            "probed_shapes": price.probed,
        },
        "without_estimate": list(price.unknown),
    }


def price_words(plan: Plan, price: Price | None, store: Store) -> str:
    """Return the price in a few lines; it is None where nothing is to do."""
    counts = _counts(plan, price.estimates if price else (), store)
    lines = [
        f"{counts['requested']} cells requested, {counts['distinct']} of them distinct; of those to do, "
        f"{counts['under_way']} are under way and {counts['new']} are new."
    ]
    if price and price.estimates:
        lines += _estimated(price)
    return "\n".join(lines)


def _estimated(price: Price) -> list[str]:
    open_cells = len(price.unknown)
    without = f"no estimate for {open_cells} of {len(price.estimates)} cells: no like cell has run here; "
    way_out = "`--probe` measures."
    if open_cells == len(price.estimates):
        return ["Price: no estimate: no like cell has run here; " + way_out]
    hours, at_least = price.hours(), "at least " if open_cells else ""
    wall = timedelta(seconds=round(price.wall_seconds))
    lines = [
        f"Price: {at_least}{_hours(hours)} {price.slots.unit}-hours of training, {at_least}{wall} of wall time with "
        f"{_slots(price.slots)}; {_sources(price)}."
    ]
    if price.peak_memory:
        each = f"{price.peak_memory / 2**30:.1f} GiB of {'GPU ' if price.slots.gpus else ''}memory"
        lines.append(f"Memory: at most {each} for a cell, as measured with the steps; {price.slots.number} at a time.")
    return lines + ([without[0].upper() + without[1:] + way_out] if open_cells else [])


def _hours(hours: float) -> str:
    """Return hours with as many decimals as their size deserves."""
    return f"{hours:.{4 if hours < 1 else 2 if hours < 100 else 0}f}"


def _slots(slots: Slots) -> str:
    at_a_time = f"{slots.number} cell{'s' if slots.number > 1 else ''} at a time"
    gpus = f" and {slots.gpus:g} GPU" if slots.gpus else ""
    return f"{at_a_time} ({slots.cpus:g} core{'s' if slots.cpus > 1 else ''}{gpus} each)"


def _sources(price: Price) -> str:
    from harness.probe import STEPS

    number = price.sources()
    parts = []
    if number["like cells"]:
        unfinished = f" and {price.under_way} unfinished" if price.under_way else ""
        parts.append(f"from {price.finished} finished{unfinished} cells like these")
    if number["own log"]:
        parts.append(f"from the logs of {number['own log']} unfinished cells")
    if number["probe"]:
        parts.append(f"from a probe of {STEPS} steps of each kind for {price.probed} kinds of cells")
    return "estimated " + ", ".join(parts)


@dataclass(frozen=True)
class Cut:
    """What a budget lets run, and what it leaves out; decided by estimates before anything starts."""

    price: Price
    """Of all cells that are to do."""
    budget: float
    """In hours."""
    left_out: tuple[str, ...]
    """The cells that do not fit."""
    names: Mapping[str, str]
    """Row and seed of each cell."""
    spent: Callable[[], float]
    """Gives the hours that finished epochs of the chosen cells took since the cut."""

    @property
    def _chosen(self) -> list[str]:
        return [cell_id for cell_id in self.price.estimates if cell_id not in self.left_out]

    def before(self) -> str:
        """Return how many cells the budget lets start."""
        unit = self.price.slots.unit
        fit = f"{len(self._chosen)} of the {len(self.price.estimates)} cells to do fit"
        sources = f"; {_sources(self.price)}" if self.price.estimates else ""
        return (
            f"Budget of {self.budget:g} {unit}-hours: {fit} by their estimates, "
            f"{_hours(self.price.hours(self._chosen))} {unit}-hours of training{sources}."
        )

    def after(self) -> str:
        """Return what was used, and what was left out and how it goes on."""
        unit = self.price.slots.unit
        lines = [
            f"Used {_hours(self.spent())} of {self.budget:g} {unit}-hours; the estimate was "
            f"{_hours(self.price.hours(self._chosen))}."
        ]
        if self.left_out:
            shown = ", ".join(self.names[cell_id] for cell_id in self.left_out[:5])
            more = f" and {len(self.left_out) - 5} more" if len(self.left_out) > 5 else ""
            lines.append(
                f"Left out by `--budget-hours {self.budget:g}`: {len(self.left_out)} of {len(self.price.estimates)} "
                f"cells, {_hours(self.price.hours(self.left_out))} {unit}-hours: {shown}{more}. The same command "
                "without `--budget-hours` goes on."
            )
        return "\n".join(lines)


def cut_plan(
    prepared: Prepared,
    store: Store,
    *,
    budget_hours: float,
    device: str,
    cpus_per_trial: float,
    gpus_per_trial: float | None,
    data_root: Path | None,
    execution: Execution = EAGER,
    anew: Collection[str] = (),
) -> Cut:
    """Return what fits into ``budget_hours``, after a probe where no like cell shows what a step takes.

    Raises:
        ConfigError: there is no such device.
    """
    price = price_plan(
        prepared,
        store,
        device=device,
        cpus_per_trial=cpus_per_trial,
        gpus_per_trial=gpus_per_trial,
        slots=None,
        probe=True,
        data_root=data_root,
        execution=execution,
        anew=anew,
    )
    chosen = price.affordable(budget_hours)
    before = spent_hours(store, [cell_id for cell_id in chosen if cell_id not in anew], price.slots)
    return Cut(
        price,
        budget_hours,
        tuple(cell_id for cell_id in price.estimates if cell_id not in chosen),
        {cell.id: f"{cell.row}, seed {cell.seed}" for cell in reversed(prepared.plan.cells)},
        lambda: spent_hours(store, chosen, price.slots) - before,
    )
