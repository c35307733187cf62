"""A short probe: what a step of a configuration costs here, where no cell has shown it yet."""

from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from dfkd.config import RunConfig
from dfkd.evaluation import load_training_images
from dfkd.learners import Learners
from dfkd.monitor import EpochCost
from dfkd.real import RealLearners, real_step
from dfkd.steps import generator_step, student_step
from dfkd.teacher import Teacher
from harness.rates import PHASES, Rates

STEPS = 2
"""Steps of each kind that are measured, after one that is not: the first is slower."""


@contextmanager
def _threads(number: int) -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def steps_of(
    config: RunConfig, *, teacher: Teacher, data_root: Path | None, device: torch.device
) -> dict[str, Callable[[], object]]:
    """Return the steps that such a run takes, by what they train, on networks at their initial weights."""
    if config.learns_from_real_images:
        train = load_training_images(config.data, root=data_root, cache=None)
        real = RealLearners(config, teacher=teacher, train=train, device=device)
        return {"student": lambda: real_step(config, real)}
    learners = Learners(config, teacher=teacher, device=device)
    return {
        "generator": lambda: generator_step(config, learners),
        "student": lambda: student_step(config, learners),
    }


def probe(config: RunConfig, *, teacher: Teacher, data_root: Path | None, device: str, threads: int) -> Rates:
    """Return what the steps of ``config`` take on ``device``, the best of ``STEPS`` of each kind. Writes nothing."""
    with _threads(threads):
        place = torch.device(device)
        steps = steps_of(config, teacher=teacher, data_root=data_root, device=place)
        seconds: dict[str, float] = {}
        spent = {"seconds": 0.0, "cpu_seconds": 0.0}
        for phase in PHASES:
            if phase not in steps:
                continue
            steps[phase]()
            costs = [_cost(steps[phase], place) for _ in range(STEPS)]
            seconds[phase] = min(cost["seconds"] for cost in costs)
            for name in spent:
                spent[name] += sum(cost[name] for cost in costs)
    return Rates(seconds, spent["cpu_seconds"] / spent["seconds"])


def _cost(step: Callable[[], object], device: torch.device) -> dict[str, float]:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    cost = EpochCost(device)
    step()
    return cost.record(())
