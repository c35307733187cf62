"""Grids: what a TOML file asks for, and the rows that come out of it once the values of all fields are known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from search_spaces.algebra import OPERATORS, check_field
from search_spaces.loader import SpaceError, dotted, line_of, place
from search_spaces.naming import Names
from search_spaces.rows import OperatorError, Row, Values, combined, matches, same

UNION = "union"
"""The operator that takes rows of other grids."""


@dataclass(frozen=True)
class Grid:
    """The rows of a table."""

    name: str
    """Of the file, without its suffix."""
    path: Path
    """Where it was read."""
    title: str
    """What the table shows."""
    reference: str
    """Name of the row that differences are taken from."""
    base: Mapping[str, Any]
    """Overrides that every row shares."""
    rows: tuple[Row, ...]
    """In the table's order."""


@dataclass(frozen=True)
class Generator:
    """A ``[[rows]]`` table, which makes rows."""

    operators: Mapping[str, Any]
    """Name to argument; the rows are every combination of what they make."""
    members: tuple["GridFile", ...]
    """The grids of ``union``, in its order."""
    shared: Mapping[str, Any]
    """Overrides of all its rows, which the operators' own win over: ``set``."""
    names: Mapping[str, str]
    """As in Names, with dotted keys."""
    where: Mapping[str, Any]
    """Rows that do not match are left out; an empty one matches all."""
    minus: Mapping[str, Any]
    """Rows that match are left out; an empty one leaves out none."""
    prefix: str
    """In front of the name of each of its rows."""
    line: int
    """Where it starts in the file; 0 if that is not known."""


@dataclass(frozen=True)
class GridFile:
    """A grid as it is written."""

    name: str
    """Of the file, without its suffix."""
    path: Path
    """Where it was read."""
    title: str
    """What the table shows."""
    reference: str | None
    """Name of the row that differences are taken from; None for the first."""
    base: Mapping[str, Any]
    """Overrides that every row shares."""
    entries: tuple[Row | Generator, ...]
    """In the file's order."""

    @property
    def files(self) -> tuple["GridFile", ...]:
        """Return this grid and all that it takes rows from."""
        members = (member for entry in self.entries if isinstance(entry, Generator) for member in entry.members)
        return (self, *(file for member in members for file in member.files))

    def expanded(self, values: Values, settings: Values) -> Grid:
        """Return the grid with its rows.

        ``values`` has every field with the value that it has without the grid; ``settings`` win over ``[base]``.

        Raises:
            SpaceError: an operator breaks a rule, two rows of a name differ, or ``reference`` names no row.
        """
        rows = self._rows(values, settings)
        names = [row.name for row in rows]
        reference = names[0] if self.reference is None else self.reference
        if reference not in names:
            close = get_close_matches(reference, names, n=1)
            hint = f"Did you mean {close[0]!r}? " if close else ""
            raise SpaceError(
                f"{place(self.path, 'reference')}: `reference` must name a row, but it is {reference!r}. "
                f"{hint}Rows: {', '.join(map(repr, names))}."
            )
        return Grid(self.name, self.path, self.title, reference, self.base, rows)

    def _rows(self, values: Values, settings: Values) -> tuple[Row, ...]:
        below = {**values, **self.base}
        rows: list[Row] = []
        for entry in self.entries:
            if isinstance(entry, Row):
                rows.append(entry)
            else:
                try:
                    rows += self._generated(entry, below, settings)
                except OperatorError as error:
                    key = error.key
                    line = line_of(self.path, key, after=entry.line) or line_of(self.path, key) or entry.line
                    raise SpaceError(f"{self.path}{f', line {line}' if line else ''}: {error}") from None
        return _distinct(rows, {**below, **settings}, self.path)

    def _generated(self, entry: Generator, below: Values, settings: Values) -> list[Row]:
        above = {**settings, **entry.shared}
        values = {**below, **above}
        for key in (*entry.shared, *entry.where, *entry.minus):
            check_field(key, below)
        names = Names(entry.names, frozenset(_keys_of(entry, below)))
        for name in names.given:
            if not any(name == key or name.startswith(f"{key}.") for key in below):
                check_field(name, below)
        factors = []
        for operator, argument in entry.operators.items():
            if operator == UNION:
                made = [row for member in entry.members for row in _taken(member, below, above, values)]
            else:
                made = OPERATORS[operator][1](argument, values, names)
            factors.append((operator, made))
        made = combined(factors)
        for key in entry.shared:
            if all(key in row.overrides for row in made):
                raise OperatorError(f"`set` must have an effect, but every row of its table sets `{key}`.", key="set")
        return _filtered([self._of_table(row, entry, names) for row in made], entry, values)

    def _of_table(self, row: Row, entry: Generator, names: Names) -> Row:
        """Return a row that operators made, with what its table says of all its rows.

        A prefix names images and teacher where the table sets them.
        """
        shared = names.column({key: value for key, value in entry.shared.items() if key not in row.overrides})
        return Row(
            entry.prefix + row.name,
            {**entry.shared, **row.overrides},
            row.path or self.path,
            row.line or entry.line,
            row.grid,
            row.label if shared else entry.prefix + row.label,
            ", ".join(filter(None, (shared, row.column))),
        )


def _keys_of(entry: Generator, fields: Values) -> set[str]:
    """Return the fields that a table's operators name."""
    named = [dotted(each) if isinstance(each, dict) else each for each in entry.operators.values()]
    return {key for keys in named for key in keys if isinstance(key, str) and key in fields}


def _taken(member: GridFile, below: Values, above: Values, values: Values) -> list[Row]:
    """Return the rows of another grid; of its ``[base]``, what differs here goes into them."""
    start = {**below, **member.base, **above}
    differing = {key: start[key] for key in member.base if not same(start[key], values[key])}
    names = Names({}, frozenset(differing))
    return [
        replace(
            row,
            overrides={**differing, **row.overrides},
            grid=member.name,
            column=", ".join(
                filter(None, (names.column({k: v for k, v in differing.items() if k not in row.overrides}), row.column))
            ),
        )
        for row in member._rows(below, above)
    ]


def _filtered(rows: list[Row], entry: Generator, values: Values) -> list[Row]:
    effective = [{**values, **row.overrides} for row in rows]
    kept = [
        row
        for row, each in zip(rows, effective, strict=True)
        if matches(each, entry.where) and not (entry.minus and matches(each, entry.minus))
    ]
    if not kept:
        asked = " and ".join(f"`{word}` {dict(c)}" for word, c in (("where", entry.where), ("minus", entry.minus)) if c)
        key = next(iter(entry.where or entry.minus))
        there = list(dict.fromkeys(each[key] for each in effective))
        raise OperatorError(
            f"a table of rows must keep at least one, but {asked} leaves none of {len(rows)}. In them, `{key}` is "
            f"{' or '.join(map(repr, there))}.",
            key="where" if entry.where else "minus",
        )
    return kept


def _distinct(rows: list[Row], start: Values, path: Path) -> tuple[Row, ...]:
    """Return the rows with names that differ.

    Of rows with the same name and the same values only the first stays. Of rows with the same name and other values,
    those on other images or of another teacher get these behind it, then those of another grid its name in front.
    """
    with_columns = []
    for row, rivals in _clashing(rows, start):
        apart = len({rival.column for rival in rivals}) > 1 and row.column
        with_columns.append(replace(row, name=f"{row.name}, {row.column}", within=row.label) if apart else row)
    kept: dict[str, Row] = {}
    for row, rivals in _clashing(with_columns, start):
        if rivals and row.grid:
            row = replace(row, name=f"{row.grid}: {row.name}", within=f"{row.grid}: {row.label}")
        if row.name in kept and _differ(kept[row.name], row, start):
            where = f"{path}, line {row.line}" if row.line and not row.grid else str(path)
            raise SpaceError(
                f"{where}: row names must differ, but {row.name!r} stands for two configurations. Rows that an "
                "operator makes are renamed with `names` or `prefix`."
            )
        kept.setdefault(row.name, row)
    return tuple(kept.values())


def _clashing(rows: Sequence[Row], start: Values) -> list[tuple[Row, list[Row]]]:
    """Return each row with all rows of its name, if these are not the same; else with none."""
    by_name: dict[str, list[Row]] = {}
    for row in rows:
        by_name.setdefault(row.name, []).append(row)
    clashes = {name: any(_differ(found[0], row, start) for row in found) for name, found in by_name.items()}
    return [(row, by_name[row.name] if clashes[row.name] else []) for row in rows]


def _differ(one: Row, other: Row, start: Values) -> bool:
    mine, others = ({**start, **row.overrides} for row in (one, other))
    return any(not same(mine[key], others[key]) for key in {**one.overrides, **other.overrides})
