"""A short probe: what a step of a configuration costs here, where no cell has shown it yet."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from dfkd.allocation import memory_kept
from dfkd.config import RunConfig
from dfkd.evaluation import load_training_images
from dfkd.learners import Learners
from dfkd.monitor import EpochCost
from dfkd.real import RealLearners, real_step
from dfkd.steps import generator_step, student_step
from dfkd.teacher import Teacher
from harness.inputs import EAGER, Execution
from harness.rates import PHASES, Rates

STEPS = 2
"""Steps of each kind that are measured, after one that is not: the first is slower."""


@dataclass(frozen=True)
class Taken:
    """What a few steps took."""

    first_seconds: float
    """The first step of each kind together, with whatever is done once, such as compiling."""
    rates: Rates
    """The steps after it."""


@contextmanager
def number_of_threads(number: int) -> Iterator[None]:
    """Let PyTorch use so many threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def steps_of(
    config: RunConfig, *, teacher: Teacher, data_root: Path | None, device: torch.device, execution: Execution = EAGER
) -> dict[str, Callable[[], object]]:
    """Return the steps that such a run takes, by what they train, on networks at their initial weights."""
    if config.learns_from_real_images:
        train = load_training_images(config, root=data_root, cache=None)
        real = RealLearners(config, teacher=teacher, train=train, device=device)
        return {"student": lambda: real_step(config, real)}
    learners = Learners(
        config,
        teacher=teacher,
        device=device,
        engine=execution.engine,
        checkpoint_activations=execution.checkpoint_activations,
    )
    return {
        "generator": lambda: generator_step(config, learners),
        "student": lambda: student_step(config, learners),
    }


def probe(
    config: RunConfig,
    *,
    teacher: Teacher,
    data_root: Path | None,
    device: str,
    threads: int,
    execution: Execution = EAGER,
) -> Rates:
    """Return what the steps of ``config`` take on ``device``, the best of ``STEPS`` of each kind. Writes nothing.

    Where the engine is to be picked, they are run eagerly.
    """
    chosen = EAGER if execution.engine == "auto" else execution
    return take_steps(
        config, teacher=teacher, data_root=data_root, device=device, threads=threads, execution=chosen
    ).rates


def take_steps(
    config: RunConfig,
    *,
    teacher: Teacher,
    data_root: Path | None,
    device: str,
    threads: int,
    execution: Execution,
) -> Taken:
    """Take a few steps of each kind on networks at their initial weights, with one engine."""
    with number_of_threads(threads), memory_kept():
        place = torch.device(device)
        steps = steps_of(config, teacher=teacher, data_root=data_root, device=place, execution=execution)
        seconds: dict[str, float] = {}
        first_seconds = 0.0
        spent = {"seconds": 0.0, "cpu_seconds": 0.0}
        memory = 0.0
        for phase in PHASES:
            if phase not in steps:
                continue
            first_seconds += _cost(steps[phase], place)["seconds"]
            costs = [_cost(steps[phase], place) for _ in range(STEPS)]
            seconds[phase] = min(cost["seconds"] for cost in costs)
            memory = max(memory, *(cost["peak_memory_bytes"] for cost in costs))
            for name in spent:
                spent[name] += sum(cost[name] for cost in costs)
    return Taken(first_seconds, Rates(seconds, spent["cpu_seconds"] / spent["seconds"], memory))


def _cost(step: Callable[[], object], device: torch.device) -> dict[str, float]:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    cost = EpochCost(device)
    step()
    return cost.record(())
