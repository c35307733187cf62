"""What a search makes as good as it can: read from a finished cell, and never from the test split."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dfkd.errors import ConfigError, nearest
from harness.records import read_log
from harness.store import Store


@dataclass(frozen=True)
class Objective:
    """A number of a finished cell."""

    name: str
    """As ``--objectives`` has it."""
    title: str
    """As a sentence has it."""
    fraction: bool
    """Whether it is a fraction, which is shown in percent."""
    read: Callable[[Mapping[str, Any], Mapping[str, Any]], float | None]
    """From the last record of the log and the result; None if the cell was run before it was measured."""

    def show(self, value: float) -> str:
        """Return ``value`` as it is printed."""
        return f"{100 * value:.2f} %" if self.fraction else f"{value:.4g}"


OBJECTIVES = {
    "accuracy": Objective("accuracy", "validation accuracy", True, lambda log, _: log.get("validation_accuracy")),
    "agreement": Objective(
        "agreement", "agreement on synthetic images", True, lambda log, _: log.get("synthetic.agreement")
    ),
    "images_per_second": Objective(
        "images_per_second", "images per second", False, lambda _, result: result.get("images_per_second")
    ),
}
"""All are made as great as possible. ``accuracy`` is that on held-out training images; ``agreement`` needs no real
image: how often student and teacher name the same class on the last epoch's synthetic images."""


def parse_objectives(text: str) -> tuple[Objective, ...]:
    """Return the objectives of ``accuracy,images_per_second``; raise ConfigError for an unknown or repeated one."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in OBJECTIVES:
            raise ConfigError(f"`--objectives` must be known names, but {name!r} is none. {nearest(name, OBJECTIVES)}")
    if len(set(names)) < len(names):
        raise ConfigError(f"`--objectives` must differ, but they are {text!r}.")
    return tuple(OBJECTIVES[name] for name in names)


def read_values(store: Store, cell_id: str, objectives: Sequence[Objective]) -> list[float | None]:
    """Return the objectives of a finished cell; None for what was not measured when it was run."""
    result, log = store.read(cell_id).result, read_log(store.cell(cell_id))
    if result is None or not log:
        return [None] * len(objectives)
    return [objective.read(log[-1], result) for objective in objectives]
