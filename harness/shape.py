"""What of a configuration decides how long a step takes: cells of one shape cost the same, step for step."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from dfkd.config import REAL_METHODS, RunConfig
from dfkd.overrides import flatten, has_effect

FREE = frozenset(
    {
        *("seed", "data.dataset", "data.classes", "data.crop_fraction", "data.validation_fraction"),
        *("student.learning_rate", "student.momentum", "student.weight_decay"),
        *("generator.learning_rate", "generator.schedule", "generator.beta1", "generator.beta2"),
        *("schedule.epochs", "schedule.iterations_per_epoch", "schedule.phases"),
        *("schedule.generator_steps", "schedule.student_steps", "schedule.warm_up"),
        *("student_loss.distillation.temperature", "student_loss.distillation.direction"),
        *("student_loss.sfcl.temperature", "generator_loss.adversarial.temperature", "replay.momentum"),
        *("replay.autoencoder.learning_rate", "replay.autoencoder.prior_weight"),
    }
)
"""Fields that leave the cost of a step alone. Any other field, a new one too, tells shapes apart."""

_DEFAULTS = flatten(RunConfig())
_COSTLY = tuple(key for key in _DEFAULTS if key not in FREE)


def shape_of(config: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Return the fields of a flat configuration that the cost of a step depends on, with their values.

    Networks, sizes, precision and orders are in it; of a term's weight, whether it is on; of a term that is off,
    nothing else. A field that the configuration does not have, because it is older, is at its default.
    """
    values = (config.get(key, _DEFAULTS[key]) for key in _COSTLY)
    on = (value > 0 if key.endswith(".weight") else value for key, value in zip(_COSTLY, values, strict=True))
    return _with_effect(tuple(on))


@lru_cache(maxsize=1024)
def _with_effect(values: tuple[Any, ...]) -> tuple[tuple[str, Any], ...]:
    flat = dict(zip(_COSTLY, values, strict=True))
    kept = (key for key in _COSTLY if key == "teacher.architecture" or has_effect(key, flat))
    return tuple((key, flat[key]) for key in kept)


def steps_between(config: Mapping[str, Any], first: int, last: int) -> dict[str, int]:
    """Return how many ``generator`` and ``student`` steps the epochs from ``first`` to ``last`` take, both included."""
    iterations = config["schedule.iterations_per_epoch"]
    generator, student = (iterations * config[f"schedule.{phase}_steps"] for phase in ("generator", "student"))
    epochs = max(0, last - first + 1)
    if config.get("method") in REAL_METHODS:
        return {"generator": 0, "student": student * epochs}
    if config["schedule.phases"] == "alternate":
        warm_up = int(config.get("schedule.warm_up", 0) * config["schedule.epochs"] * iterations)
        rounds = max(0, last * iterations - warm_up) - max(0, (first - 1) * iterations - warm_up)
        return {"generator": generator * epochs, "student": config["schedule.student_steps"] * max(0, rounds)}
    # Staged: all generator steps of the run come first.
    before, after = ((generator + student) * epoch for epoch in (first - 1, first - 1 + epochs))
    all_generator = generator * config["schedule.epochs"]
    made = min(after, all_generator) - min(before, all_generator)
    return {"generator": made, "student": after - before - made}
