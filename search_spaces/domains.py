"""What a parameter of a search may be: a range or a list of choices, and the condition under which it counts."""

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

Scalar = bool | int | float | str

COMPARISONS = {">=": operator.ge, "<=": operator.le, "!=": operator.ne, ">": operator.gt, "<": operator.lt}
"""What a condition may begin with, the longer ones first."""


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included; whole ones if both are whole."""

    low: int | float
    """Smallest value."""
    high: int | float
    """Greatest value."""
    log: bool = False
    """Whether the logarithm is searched evenly."""
    step: int | float | None = None
    """Distance of neighbouring values; None for any number in between."""

    @property
    def whole(self) -> bool:
        """Whether the values are integers."""
        return isinstance(self.low, int)

    @property
    def steps(self) -> int | None:
        """Return how many steps lie between the ends; None if any number may come."""
        step = self.step or (1 if self.whole and not self.log else None)
        return round((self.high - self.low) / step) if step else None

    def value(self, number: int) -> int | float:
        """Return the end of a step, from 0 at ``low``: 0.3 and not 0.30000000000000004."""
        step = Decimal(str(self.step or 1))
        exact = Decimal(str(self.low)) + number * step
        return int(exact) if self.whole else float(exact)

    def settle(self, value: int | float) -> int | float:
        """Return the nearest value of the range."""
        value = min(max(value, self.low), self.high)
        if self.steps:
            return self.value(round((value - self.low) / (self.step or 1)))
        return round(value) if self.whole else float(value)

    def contains(self, value: object) -> bool:
        """Return whether ``value`` is one of the range's, up to the last digits."""
        if isinstance(value, bool | str) or not isinstance(value, int | float):
            return False
        return math.isclose(self.settle(value), value, rel_tol=1e-9, abs_tol=1e-12)

    def at(self, share: float) -> int | float:
        """Return the value that lies at a ``share`` in [0, 1) of the way."""
        if self.steps:
            return self.value(int(share * (self.steps + 1)))
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            return self.settle(math.exp(low + share * (high - low)))
        return self.settle(self.low + share * (self.high - self.low))

    def __str__(self) -> str:
        kind = "whole, " if self.whole and self.step is None else ""
        return f"{kind}{self.low:g} to {self.high:g}{f', step {self.step:g}' if self.step else ''}" + (
            ", log" if self.log else ""
        )


@dataclass(frozen=True)
class Choices:
    """One of several scalars."""

    options: tuple[Scalar, ...]
    """In the file's order."""

    def settle(self, value: Scalar) -> Scalar:
        """Return ``value`` as it is."""
        return value

    def contains(self, value: object) -> bool:
        """Return whether ``value`` is an option."""
        return value in self.options

    def at(self, share: float) -> Scalar:
        """Return the option that lies at a ``share`` in [0, 1) of the list."""
        return self.options[int(share * len(self.options))]

    def __str__(self) -> str:
        return " | ".join(map(str, self.options))


@dataclass(frozen=True)
class Condition:
    """What another parameter must be for this one to count."""

    key: str
    """The other parameter."""
    comparison: str
    """One of ``COMPARISONS``, or ``==``."""
    value: Scalar
    """What it is compared with."""

    def holds(self, point: Mapping[str, Scalar]) -> bool:
        """Return whether the other parameter counts itself and is as asked for."""
        if self.key not in point:
            return False
        if self.comparison == "==":
            return point[self.key] == self.value
        return bool(COMPARISONS[self.comparison](point[self.key], self.value))

    def __str__(self) -> str:
        value = f"{self.value:g}" if isinstance(self.value, float) else self.value
        return f"{self.key} {self.comparison} {value}"


@dataclass(frozen=True)
class Parameter:
    """A field of the configuration that is searched."""

    key: str
    """Its dotted key."""
    domain: Range | Choices
    """What it may be."""
    when: tuple[Condition, ...] = ()
    """All of these must hold, or the parameter has no effect and is not suggested."""

    def counts(self, point: Mapping[str, Scalar]) -> bool:
        """Return whether the parameter has an effect, given those that stand before it."""
        return all(condition.holds(point) for condition in self.when)
