"""Reading grids from TOML files."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search_spaces.algebra import OPERATORS
from search_spaces.grid import UNION, Generator, GridFile
from search_spaces.loader import SpaceError, check_keys, dotted, find, flat_overrides, place, read_toml
from search_spaces.naming import Names
from search_spaces.rows import Row

OPTIONS = {"set": dict, "names": dict, "where": dict, "minus": dict, "prefix": str}
"""What a table of rows may hold besides operators."""


def load_grid(name: str) -> GridFile:
    """Return a grid by built-in name or path, with the grids that it takes rows from.

    Raises:
        SpaceError: there is none, or it is malformed; the message names the file and, where it can, the line.
    """
    return _load(find("grids", name), ())


def _load(path: Path, trail: tuple[Path, ...]) -> GridFile:
    table = read_toml(path)
    known = {"title": str, "reference": str, "base": dict, "names": dict, "row": list, "rows": list}
    check_keys(path, table, known, "a grid")
    names = _names(path, table.get("names", {}))
    entries: list[Row | Generator] = []
    for kind, number, entry, line in _in_order(path, table):
        if not isinstance(entry, dict):
            raise SpaceError(f"{path}: each of `{kind}` must be a table `[[{kind}]]`, but {number} is {entry!r}.")
        if kind == "row":
            entries.append(_row(path, entry, f"row {number}", line, names))
        else:
            entries.append(_generator(path, entry, f"table {number} of rows", line, names, (*trail, path.resolve())))
    by_hand = [(entry.name, entry.column) for entry in entries if isinstance(entry, Row)]
    if len(set(by_hand)) < len(by_hand):
        twice = next(name for name, column in by_hand if by_hand.count((name, column)) > 1)
        raise SpaceError(f"{path}: row names must differ, but {twice!r} stands more than once.")
    if not entries:
        raise SpaceError(f"{path}: a grid must have at least one `[[row]]` or `[[rows]]`, but it has none.")
    base = flat_overrides(path, table.get("base", {}), "[base]")
    return GridFile(path.stem, path, table.get("title", path.stem), table.get("reference"), base, tuple(entries))


def _in_order(path: Path, table: Mapping[str, Any]) -> list[tuple[str, int, Any, int]]:
    """Return kind, number, content and line of every ``[[row]]`` and ``[[rows]]``.

    They stand in the file's order, which TOML keeps only within a kind; where they are not written as such tables, all
    of ``row`` come first, and the lines are 0.
    """
    tables = {kind: table.get(kind, []) for kind in ("row", "rows")}
    header = re.compile(r"^\s*\[\[\s*(rows?)\s*\]\]")
    found = [(m[1], i) for i, line in enumerate(path.read_text().splitlines(), 1) if (m := header.match(line))]
    if any(sum(kind == k for k, _ in found) != len(content) for kind, content in tables.items()):
        found = [(kind, 0) for kind, content in tables.items() for _ in content]
    counts = dict.fromkeys(tables, 0)
    ordered = []
    for kind, line in found:
        counts[kind] += 1
        ordered.append((kind, counts[kind], tables[kind][counts[kind] - 1], line))
    return ordered


def _row(path: Path, entry: Mapping[str, Any], where: str, line: int, names: Mapping[str, str]) -> Row:
    check_keys(path, entry, {"name": str, "set": dict}, where, after=line)
    if "name" not in entry:
        raise SpaceError(f"{path}: each row must have a `name`, but {where} has none.")
    overrides = flat_overrides(path, entry.get("set", {}), f"row {entry['name']!r}")
    return Row(entry["name"], overrides, path, line, column=Names(names, frozenset(overrides)).column(overrides))


def _generator(
    path: Path, entry: Mapping[str, Any], where: str, line: int, names: Mapping[str, str], trail: tuple[Path, ...]
) -> Generator:
    known = {**{operator: kind for operator, (kind, _) in OPERATORS.items()}, UNION: list, **OPTIONS}
    check_keys(path, entry, known, where, after=line)
    operators = {key: argument for key, argument in entry.items() if key not in OPTIONS}
    if not operators:
        raise SpaceError(
            f"{path}{f', line {line}' if line else ''}: {where} must have an operator, but it has none. Known: "
            f"{', '.join((*OPERATORS, UNION))}."
        )
    return Generator(
        operators,
        _members(path, operators[UNION], line, trail) if UNION in operators else (),
        flat_overrides(path, entry.get("set", {}), where),
        {**names, **_names(path, entry.get("names", {}))},
        dotted(entry.get("where", {})),
        dotted(entry.get("minus", {})),
        entry.get("prefix", ""),
        line,
    )


def _names(path: Path, table: Mapping[str, Any]) -> dict[str, str]:
    names = dotted(table)
    for key, name in names.items():
        if not isinstance(name, str) or not name:
            raise SpaceError(f"{place(path, key)}: `names` must give strings, but `{key}` is {name!r}.")
    return names


def _members(path: Path, argument: list[Any], line: int, trail: tuple[Path, ...]) -> tuple[GridFile, ...]:
    """Return the grids of a union; a path is taken from the folder of the file."""
    at = place(path, UNION, line)
    if not argument or not all(isinstance(name, str) for name in argument):
        raise SpaceError(f'{at}: `union` must list grids, such as ["table3", "mine.toml"], but it is {argument!r}.')
    members = []
    for name in argument:
        try:
            file = find("grids", name, folder=path.parent)
        except SpaceError as error:
            raise SpaceError(f"{at}: {error}") from None
        if file.resolve() in trail:
            circle = " -> ".join(p.name for p in (*trail[trail.index(file.resolve()) :], file))
            raise SpaceError(f"{at}: a `union` must not lead back to its own grid, but it does: {circle}.")
        members.append(_load(file, trail))
    return tuple(members)
