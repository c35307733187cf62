"""What a search makes as good as it can: read from a finished cell, and never from the test split."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from optuna.study import StudyDirection

from dfkd.errors import ConfigError, nearest
from dfkd.models.cost import measure
from harness.records import read_log
from harness.store import Store, cell_config


@dataclass(frozen=True)
class Finished:
    """What an objective is read from."""

    log: Mapping[str, Any]
    """The record of the last epoch."""
    result: Mapping[str, Any]
    """As in result.json; empty while the cell runs."""
    config: Mapping[str, Any]
    """Every field of the cell's configuration by its dotted key."""
    classes: int
    """How many the networks tell apart."""


@dataclass(frozen=True)
class Objective:
    """A number of a finished cell."""

    name: str
    """As ``--objectives`` has it."""
    title: str
    """As a sentence has it."""
    fraction: bool
    """Whether it is a fraction, which is shown in percent."""
    read: Callable[[Finished], float | None]
    """None if the cell was run before it was measured."""
    minimised: bool = False
    """Whether less is better."""
    beside: bool = False
    """Whether it means something only beside another objective."""
    each_epoch: bool = False
    """Whether it is measured after every epoch, so that a run can be judged before its end."""

    @property
    def direction(self) -> StudyDirection:
        """Return what is sought, as Optuna has it."""
        return StudyDirection.MINIMIZE if self.minimised else StudyDirection.MAXIMIZE

    @property
    def axis(self) -> str:
        """Return what stands at an axis of its values, which are ``on_axis``."""
        return f"{self.title} (%)" if self.fraction else self.title

    def on_axis(self, value: float | None) -> float | None:
        """Return ``value`` in the unit of ``axis``."""
        return 100 * value if self.fraction and value is not None else value

    def gain(self, value: float, reference: float) -> float:
        """Return by how much ``value`` is better than ``reference``."""
        return reference - value if self.minimised else value - reference

    def show(self, value: float) -> str:
        """Return ``value`` as it is printed."""
        if self.fraction:
            return f"{100 * value:.2f} %"
        return f"{value:,.0f}" if self.minimised else f"{value:.4g}"

    def show_difference(self, difference: float) -> str:
        """Return a difference of two values as it is printed, with its sign."""
        return f"{100 * difference:+.2f} points" if self.fraction else f"{difference:+,.4g}"


@lru_cache
def _parameters(architecture: str, classes: int, image_size: int) -> int:
    return measure(architecture, classes=classes, image_size=image_size)[1].parameters


def _student_parameters(finished: Finished) -> float:
    config = finished.config
    return float(_parameters(config["student.architecture"], finished.classes, config["data.image_size"]))


OBJECTIVES = {
    objective.name: objective
    for objective in (
        Objective(
            "accuracy", "validation accuracy", True, lambda done: done.log.get("validation_accuracy"), each_epoch=True
        ),
        Objective(
            "agreement",
            "agreement on synthetic images",
            True,
            lambda done: done.log.get("synthetic.agreement"),
            each_epoch=True,
        ),
        Objective(
            "images_per_second",
            "images per second",
            False,
            lambda done: done.result.get("images_per_second"),
            beside=True,
        ),
        Objective("parameters", "the student's parameters", False, _student_parameters, minimised=True, beside=True),
    )
}
"""``accuracy`` is that on held-out training images; ``agreement`` needs no real image: how often student and teacher
name the same class on the last epoch's synthetic images. ``parameters`` are those of the student as it is deployed: the
attention and the projections that it is trained beside are not among them."""


def parse_objectives(text: str) -> tuple[Objective, ...]:
    """Return the objectives of ``accuracy,images_per_second``.

    Raises:
        ConfigError: an unknown or repeated one, or none that says how well a student does.
    """
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in OBJECTIVES:
            raise ConfigError(f"`--objectives` must be known names, but {name!r} is none. {nearest(name, OBJECTIVES)}")
    if len(set(names)) < len(names):
        raise ConfigError(f"`--objectives` must differ, but they are {text!r}.")
    chosen = tuple(OBJECTIVES[name] for name in names)
    if all(objective.beside for objective in chosen):
        raise ConfigError(
            f"`--objectives` must say how well a student does, but {text!r} only says what it costs. Add `accuracy` or "
            f"`agreement`: `--objectives accuracy,{text}`."
        )
    return chosen


def read_values(store: Store, cell_id: str, objectives: Sequence[Objective], *, classes: int) -> list[float | None]:
    """Return the objectives of a finished cell; None for what was not measured when it was run."""
    result, log = store.read(cell_id).result, read_log(store.cell(cell_id))
    if result is None or not log:
        return [None] * len(objectives)
    finished = Finished(log[-1], result, cell_config(store, cell_id)["config"], classes)
    return [objective.read(finished) for objective in objectives]
