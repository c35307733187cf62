"""Which engine runs a cell's steps: as asked for, or whichever is measured to end the cell first."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from dfkd.config import RunConfig
from dfkd.engines import cannot_compile, check_engine
from dfkd.overrides import flatten
from dfkd.teacher import Teacher
from harness.environment import machine
from harness.inputs import Execution, Where
from harness.plan import digest
from harness.probe import Taken, take_steps
from harness.records import read_cell, read_json, write_json
from harness.shape import shape_of, steps_between
from harness.store import Store

WORTH_TRYING = 600.0
"""Seconds that must be left of a cell, run eagerly, for ``auto`` to try compiling: the trial itself takes minutes."""


@dataclass(frozen=True)
class Choice:
    """What runs a cell's steps."""

    engine: str
    """One of ``dfkd.engines.ENGINES``."""
    reason: str | None = None
    """Why ``auto`` picked it, in words; None where it was asked for."""


def check_execution(execution: Execution, device: str) -> None:
    """Raise ConfigError if what was asked for cannot be done on ``device``; ``auto`` always can."""
    if execution.engine != "auto":
        check_engine(execution.engine, torch.device(device), checkpoint_activations=execution.checkpoint_activations)


def choose_engine(config: RunConfig, where: Where, *, teacher: Teacher, epochs_done: int) -> Choice:
    """Return what runs the rest of a cell that has ``epochs_done``. With ``auto`` this may measure, for minutes.

    ``auto`` weighs the steps that are left, eagerly and compiled, with the time of compiling; it measures both once per
    shape (``shape_of``), machine and version of PyTorch, and keeps what it found in the store's cache.
    """
    asked = where.execution.engine
    if config.runs_eagerly:
        why = "it learns from real images" if config.learns_from_real_images else "its images take a round to make"
        return Choice("eager", why if asked != "eager" else None)
    if asked != "auto":
        return Choice(asked)
    if where.execution.checkpoint_activations:
        return Choice("eager", "it alone can checkpoint activations")
    flat, device = flatten(config), torch.device(where.device)
    steps = steps_between(flat, epochs_done + 1, config.schedule.epochs)
    about = {
        "shape": [list(pair) for pair in shape_of(flat)],
        "machine": machine(device, threads=where.threads),
        "torch": torch.__version__,
    }
    path = Store(where.store).cache / "engines" / f"{digest(about)}.json"
    path.parent.mkdir(parents=True, exist_ok=True)

    def measure(engine: str) -> Taken:
        return take_steps(
            config,
            teacher=teacher,
            data_root=where.data_root,
            device=where.device,
            threads=where.threads,
            execution=Execution(engine),
        )

    with FileLock(path.with_suffix(".lock")):  # cells of one shape wait here for the first of them
        return _pick(path, about, steps, measure, device)


def _pick(
    path: Path,
    about: Mapping[str, Any],
    steps: Mapping[str, int],
    measure: Callable[[str], Taken],
    device: torch.device,
) -> Choice:
    """Return the engine that ends ``steps`` first, by the measurements in ``path`` and by those still to take."""
    measured: dict[str, Any] = read_json(path) or dict(about)

    def ensure(engine: str) -> None:
        if engine not in measured:
            taken = measure(engine)
            measured[engine] = {"first_seconds": taken.first_seconds, "step_seconds": dict(taken.rates.seconds)}
            write_json(path, measured)

    def seconds_left(engine: str) -> float:
        return sum(number * measured[engine]["step_seconds"][phase] for phase, number in steps.items())

    ensure("eager")
    eager = seconds_left("eager")
    if "compile" not in measured:
        if eager < WORTH_TRYING:
            return Choice("eager", f"{eager:.0f} s are left, too few to try compiling")
        if (failure := cannot_compile(device)) is not None:
            return Choice("eager", f"compiling failed: {failure}")
        try:
            ensure("compile")
        except Exception as error:  # a compiler may raise anything
            return Choice("eager", f"compiling these networks failed: {type(error).__name__}")
    first = measured["compile"]["first_seconds"]
    compiled = first + seconds_left("compile")
    told = f"{compiled:.0f} s are left with {first:.0f} s of compiling, {eager:.0f} s without"
    return Choice("compile" if compiled < eager else "eager", told)


def engine_sentences(store: Store, ids: Iterable[str]) -> list[str]:
    """Return what ``auto`` picked for the cells ``ids`` that are done, and why: a line for each reason."""
    found: dict[str, int] = {}
    for cell_id in ids:
        about = (read_cell(store.root, cell_id).result or {"environment": {}})["environment"]
        if about.get("engine_reason"):
            line = f"{about['engine']}, because {about['engine_reason']}"
            found[line] = found.get(line, 0) + 1
    return [f"Engine of {count} cell{'s' if count > 1 else ''}: {line}." for line, count in found.items()]
