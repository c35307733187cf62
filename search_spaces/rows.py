"""A row of a grid, and what can be done with rows whatever made them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

Values = Mapping[str, Any]
"""Dotted key of every field to its effective value."""

COLUMN_KEYS = ("data.", "teacher.")
"""Begin the keys of images and teacher: rows that differ in nothing else are one line of a table."""


class OperatorError(ValueError):
    """A table of rows breaks a rule."""

    def __init__(self, message: str, *, key: str) -> None:
        super().__init__(message)
        self.key = key
        """What the message is about, to find its line."""


@dataclass(frozen=True)
class Row:
    """A row of a grid."""

    name: str
    """As a table prints it."""
    overrides: Mapping[str, Any]
    """How it differs from the grid's base: dotted key to scalar."""
    path: Path | None = field(default=None, compare=False)
    """The file it was written in."""
    line: int = field(default=0, compare=False)
    """Where its table starts in the file; 0 if that is not known."""
    grid: str | None = field(default=None, compare=False)
    """The grid it was taken from by ``union``; None for a grid's own row."""
    within: str | None = field(default=None, compare=False)
    """Its name among the rows of the same images and teacher; None where that is its name."""
    column: str = field(default="", compare=False)
    """What images and teacher it names; empty where they are the grid's."""

    @property
    def label(self) -> str:
        """Return its name in a column of its own images and teacher."""
        return self.name if self.within is None else self.within


def combined(factors: Sequence[tuple[str, Sequence[Row]]]) -> list[Row]:
    """Return every row of the first operator with every row of the second, and so on; the last changes fastest.

    Raises:
        OperatorError: two operators set the same key.
    """
    owners: dict[str, str] = {}
    for operator, rows in factors:
        for key in {key for row in rows for key in row.overrides}:
            if owners.setdefault(key, operator) != operator:
                raise OperatorError(
                    f"operators in one table must set different keys, but `{owners[key]}` and `{operator}` both set "
                    f"`{key}`. Give each a `[[rows]]` of its own.",
                    key=operator,
                )
    result = []
    for rows in product(*(rows for _, rows in factors)):
        origin = next((row for row in rows if row.grid), rows[0])
        overrides = {key: value for row in rows for key, value in row.overrides.items()}
        name, within, column = (
            ", ".join(filter(None, texts))
            for texts in zip(*((row.name, row.label, row.column) for row in rows), strict=True)
        )
        result.append(Row(name, overrides, origin.path, origin.line, origin.grid, within, column))
    return result


def matches(effective: Values, condition: Mapping[str, Any]) -> bool:
    """Return whether every key of ``condition`` has the value, or one of the listed values, that it asks for."""
    return all(
        any(same(effective[key], value) for value in (wanted if isinstance(wanted, list) else [wanted]))
        for key, wanted in condition.items()
    )


def same(one: Any, other: Any) -> bool:
    """Return whether two scalars are equal in a configuration: 1 is 1.0 but not true."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)
