"""What values must be, and the messages of those that are not."""

import math

from dfkd.errors import ConfigError, nearest


def require(holds: bool, rule: str, name: str, value: object) -> None:
    """Raise ConfigError, saying that ``name`` must be ``rule``, unless it ``holds``."""
    if not holds:
        raise ConfigError(f"`{name}` must be {rule}, but it is {value!r}.")


def require_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise ConfigError, with the nearest choice, unless ``value`` is one."""
    if value not in choices:
        raise ConfigError(f"`{name}` must be one of the known names, but it is {value!r}. {nearest(value, choices)}")


def require_weight(name: str, value: float) -> None:
    """Raise ConfigError unless ``value`` can weigh a term."""
    require(math.isfinite(value) and value >= 0, "a finite number >= 0 (0 switches the term off)", name, value)


def require_positive(name: str, value: float) -> None:
    """Raise ConfigError unless ``value`` is finite and positive."""
    require(math.isfinite(value) and value > 0, "a finite number > 0", name, value)


TWO_IMAGES = "an integer >= 2 (batch norm needs two images)"
"""The rule of a batch's size."""
