"""Which precision and memory order is the fastest here: measured once a machine and shape, and remembered."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from dfkd.config import RunConfig
from dfkd.learners import Learners
from dfkd.models import build_classifier
from dfkd.monitor import EpochCost
from dfkd.overrides import flatten, with_overrides
from dfkd.steps import generator_step, student_step
from dfkd.teacher import Teacher
from harness.devices import slow_arithmetic
from harness.environment import machine
from harness.plan import digest
from harness.probe import number_of_threads
from harness.records import read_json, write_json
from harness.shape import shape_of

CANDIDATES: tuple[Mapping[str, Any], ...] = (
    {"compute.precision": "float32", "compute.channels_last": False},
    {"compute.precision": "float32", "compute.channels_last": True},
    {"compute.precision": "bfloat16", "compute.channels_last": True},
)

ROUNDS = 3
"""Steps of each kind that are timed, in turn, after one that is not."""

CLASSES = 100
"""Of the networks that are timed; the last layer's share of a step is next to nothing."""


@dataclass(frozen=True)
class Choice:
    """The fastest arithmetic of this machine for the steps of a configuration."""

    settings: Mapping[str, Any]
    """Of ``compute.precision`` and ``compute.channels_last``."""
    seconds: Mapping[str, float]
    """Of a round of the schedule, its generator and student steps, by candidate as ``name`` writes it."""
    remembered: bool
    """Whether it was measured before."""

    def sentence(self) -> str:
        """Return what to tell the user: the choice, what it rests on, and how to repeat it elsewhere."""
        chosen = name(self.settings)
        others = ", ".join(f"{each} {spent:.3g} s" for each, spent in self.seconds.items() if each != chosen)
        sets = " ".join(f"--set {key}={str(value).lower()}" for key, value in self.settings.items())
        against = f"; {others}" if others else ""
        return (
            f"--precision auto: {chosen}, {self.seconds[chosen]:.3g} s a round{against} "
            f"(measured here{' before' if self.remembered else ''}). It is part of what a cell is; "
            f"elsewhere give {sets}."
        )


def name(settings: Mapping[str, Any]) -> str:
    """Return how a candidate is called."""
    return settings["compute.precision"] + (", channels_last" if settings["compute.channels_last"] else "")


def fastest_arithmetic(config: RunConfig, *, device: str, threads: int, folder: Path) -> Choice:
    """Return the fastest of ``CANDIDATES`` for the data-free steps of ``config``, from ``folder`` if it knows.

    bfloat16 is not tried where the processor has no kernels for it: its steps would take minutes.
    """
    config = replace(config, method=RunConfig().method)
    place = torch.device(device)
    shape = [field for field in shape_of(flatten(config)) if not field[0].startswith("compute.")]
    path = folder / f"arithmetic-{digest([shape, machine(place, threads=threads)])}.json"
    known = read_json(path)
    if known is None:
        configs = {name(each): with_overrides(config, each) for each in CANDIDATES}
        usable = {key: each for key, each in configs.items() if slow_arithmetic(each, device) is None}
        with number_of_threads(threads):
            seconds = _interleaved(usable, place)
        write_json(path, {"seconds": seconds, "machine": machine(place, threads=threads), "shape": dict(shape)})
    else:
        seconds = known["seconds"]
    chosen = min(seconds, key=seconds.__getitem__)
    return Choice(next(each for each in CANDIDATES if name(each) == chosen), seconds, known is not None)


def _interleaved(configs: Mapping[str, RunConfig], device: torch.device) -> dict[str, float]:
    """Return the seconds of a round of each schedule, from the best of ``ROUNDS`` steps of each kind."""
    learners = {key: _untrained(config, device) for key, config in configs.items()}
    best = {key: {"generator": float("inf"), "student": float("inf")} for key in configs}
    for count in range(ROUNDS + 1):
        for key, config in configs.items():
            cost = EpochCost(device)
            with cost.phase("generator"):
                generator_step(config, learners[key])
            with cost.phase("student"):
                student_step(config, learners[key])
            spent = cost.record(("generator", "student"))
            if count > 0:
                best[key] = {kind: min(least, spent[f"{kind}_seconds"]) for kind, least in best[key].items()}
    return {
        key: config.schedule.generator_steps * best[key]["generator"]
        + config.schedule.student_steps * best[key]["student"]
        for key, config in configs.items()
    }


def _untrained(config: RunConfig, device: torch.device) -> Learners:
    """Return what such a run would train, with a teacher of random weights."""
    classifier = build_classifier(
        config.teacher.architecture, classes=CLASSES, image_size=config.data.image_size, seed=0, role="teacher"
    )
    names = tuple(str(label) for label in range(CLASSES))
    return Learners(config, teacher=Teacher(classifier, "random weights", 0.0, names), device=device)
