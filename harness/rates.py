"""Seconds a step takes, measured: from the logs of cells that ran."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from harness.records import read_json, read_log
from harness.shape import shape_of, steps_between
from harness.store import Store

PHASES = ("generator", "student")

ENOUGH = 20
"""Like cells of a shape after which no further one is looked for."""

PROCESSOR = "cpu"
"""What an environment calls the device of a run without a GPU."""

MACHINE = ("processor", "device", "threads")
"""What of an environment decides the speed, beside ``EXECUTION``."""

EXECUTION = {"engine": "eager", "checkpoint_activations": False}
"""How the steps were run, which decides it too, and how they were where an environment does not say."""


@dataclass(frozen=True)
class Rates:
    """What a step costs."""

    seconds: Mapping[str, float]
    """Of a ``generator`` and of a ``student`` step, with its share of what an epoch costs besides its steps. A kind of
    step that was never measured is not in it."""
    cores: float
    """Seconds of processor time, of all threads, in a second."""
    memory: float = 0.0
    """Peak in bytes: of the GPU, or else of the whole process; 0 if it is not known."""


def rates_of(
    logs: Iterable[tuple[Mapping[str, Any], Iterable[Mapping[str, Any]]]], *, device: str = PROCESSOR
) -> Rates | None:
    """Return what steps took on a ``device``, over the epochs of ``logs``, pairs of a flat configuration and its
    records; None if there are none.

    On a GPU a step's seconds are the median over epochs. On a processor the clock also runs while other programs have
    it, or while the run is stopped: there they are the median of processor time, at the pace of the least disturbed
    epoch. Evaluations and checkpoints are not in a record's seconds, so they are not in here.
    """
    seconds: dict[str, list[float]] = {phase: [] for phase in PHASES}
    cores: list[float] = []
    memory = 0.0
    on_processor = device == PROCESSOR
    for config, records in logs:
        for record in records:
            spent = {phase: record.get(f"{phase}_step_seconds", 0.0) for phase in PHASES}
            if not sum(spent.values()):
                continue
            cores.append(record["cpu_seconds"] / record["seconds"])
            memory = max(memory, record.get("peak_memory_bytes", 0.0))
            beside = record["cpu_seconds" if on_processor else "seconds"] / sum(spent.values())
            for phase, steps in steps_between(config, record["epoch"], record["epoch"]).items():
                if steps:
                    seconds[phase].append(spent[phase] / steps * beside)
    if not cores:
        return None
    pace = max(cores) if on_processor else 1.0
    return Rates(
        {phase: median(values) / pace for phase, values in seconds.items() if values},
        max(cores) if on_processor else median(cores),
        memory,
    )


def _ran_alike(environment: Mapping[str, Any], machine: Mapping[str, Any]) -> bool:
    same_machine = all(environment.get(key) == machine[key] for key in MACHINE)
    wanted = {key: machine.get(key, usual) for key, usual in EXECUTION.items()}
    return same_machine and all(
        wanted[key] in (environment.get(key, usual), "auto") for key, usual in EXECUTION.items()
    )


@dataclass(frozen=True)
class LikeCells:
    """The cells of a store that have one shape and ran on one machine."""

    finished: int
    """How many of them are done."""
    under_way: int
    """How many of them are not."""
    rates: Rates
    """What their steps took."""


def like_cells(
    store: Store, shapes: Iterable[tuple[Any, ...]], *, machine: Mapping[str, Any], numerics: int
) -> dict[tuple[Any, ...], LikeCells]:
    """Return, for each of ``shapes`` that has any, the cells of the store that were trained by code of ``numerics`` on
    ``machine``, in the way that it names: no more than ``ENOUGH`` of a shape.

    A machine that names no engine means the eager one; with ``auto`` any will do. A cell without a finished epoch is
    none.
    """
    wanted: dict[tuple[Any, ...], list[tuple[bool, dict[str, Any], list[dict[str, Any]]]]] = {
        shape: [] for shape in shapes
    }
    open_shapes = set(wanted)
    folders = sorted((store.root / "cells").glob("*/")) if open_shapes else []
    for folder in folders:
        if not open_shapes:
            break
        content = read_json(folder / "config.json")
        if content is None or content.get("numerics") != numerics:
            continue
        shape = shape_of(content["config"])
        if shape not in open_shapes:
            continue
        result = read_json(folder / "result.json")
        about = result or read_json(folder / "training.json")
        if about is None or not _ran_alike(about["environment"], machine):
            continue
        if records := read_log(folder):
            wanted[shape].append((result is not None, content["config"], records))
            if len(wanted[shape]) == ENOUGH:
                open_shapes.remove(shape)
    found = {}
    for shape, cells in wanted.items():
        rates = rates_of(((config, records) for _, config, records in cells), device=machine["device"])
        if rates is not None:
            finished = sum(done for done, _, _ in cells)
            found[shape] = LikeCells(finished, len(cells) - finished, rates)
    return found
