"""A table as it is shown: rounded text, marks and a caption, and beside it the numbers that machines read."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

MISSING = "--"
PLUS_MINUS = "\u00b1"
DAGGER = "\u2020"
"""Marks what was trained by code that has changed since."""

MARKS = ("best", "second")


@dataclass(frozen=True)
class Entry:
    """One entry of a table."""

    text: str
    mark: str = ""
    """``best``, ``second`` or empty."""
    sorts_by: float | None = None
    """What a page sorts it by, where it is another number than the one that it begins with."""


@dataclass(frozen=True)
class Column:
    """A column's heading."""

    name: str
    number: bool = False
    """Whether it is set to the right."""


@dataclass(frozen=True)
class Sheet:
    """A table, ready to be written in any format."""

    label: str
    """Names it, for a reference: a grid."""
    caption: str
    """Plain text; ``{best}`` and ``{second}`` stand for how a format marks the two."""
    columns: tuple[Column, ...]
    lines: tuple[tuple[Entry, ...], ...]
    numbers: pd.DataFrame
    """What CSV and Excel hold, unrounded, indexed by row."""
    rules: tuple[int, ...] = ()
    """Lines that have a rule above."""
    notes: tuple[str, ...] = ()
    """Sentences below the table, where a format has room for them."""


def rounded(value: float, spec: str = ".2f") -> str:
    """Return ``value`` with two decimals, empty if NaN; what rounds to zero has no minus sign."""
    return "" if math.isnan(value) else format(round(value, 2) + 0.0, spec)


def rounded_cost(value: float) -> str:
    """Return a cost with two decimals, or of one that is below a tenth three digits; empty if NaN."""
    return format(value, ".3g") if 0 < value < 0.1 else rounded(value)


def mean_and_sd(mean: float, sd: float) -> str:
    """Return both with two decimals; the mean alone if ``sd`` is NaN, ``MISSING`` if the mean is."""
    first, second = rounded(mean), rounded(sd)
    return f"{first} {PLUS_MINUS} {second}" if second else first or MISSING


def marks(
    values: Mapping[str, float], *, highest: bool = True, shown_as: Callable[[float], str] = rounded
) -> dict[str, str]:
    """Return the mark of each row that has one: the best and the second, as they are shown; equals share it.

    ``highest`` says whether more is better. NaN is not ranked, and one value alone is best of nothing.
    """
    shown = {row: float(shown_as(value)) for row, value in values.items() if not math.isnan(value)}
    if len(shown) < 2:
        return {}
    ranked = dict(zip(sorted(set(shown.values()), reverse=highest), MARKS, strict=False))
    return {row: ranked[value] for row, value in shown.items() if value in ranked}
