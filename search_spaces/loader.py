"""Reading grids and presets. What a key means is not known here: the harness checks keys and values."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
SCALARS = (bool, int, float, str)


class SpaceError(ValueError):
    """A file of grids or presets is missing or malformed."""


@dataclass(frozen=True)
class Preset:
    """A named set of overrides of the default configuration."""

    name: str
    """Of the file, without its suffix."""
    path: Path
    """Where it was read."""
    title: str
    """One line on what it is."""
    overrides: Mapping[str, Any]
    """Dotted key to scalar."""
    budget: str | None = None
    """For a data set: the budget that is used where none is asked for."""


@dataclass(frozen=True)
class Row:
    """A row of a grid."""

    name: str
    """As a table prints it."""
    overrides: Mapping[str, Any]
    """How it differs from the grid's base: dotted key to scalar."""


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


def available(kind: str) -> list[str]:
    """Return the names of the built-in ``grids``, ``budgets`` or ``datasets``."""
    return sorted(path.stem for path in (FOLDER / kind).glob("*.toml"))


def line_of(path: Path, key: str) -> int | None:
    """Return the number of the first line of ``path`` that sets ``key``, for an error message."""
    pattern = re.compile(rf"""^\s*["']?{re.escape(key)}["']?\s*=""")
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if pattern.match(line):
            return number
    return None


def find_file(kind: str, name: str) -> Path:
    """Return the file of a built-in name, or of a path (it ends in .toml or holds a separator)."""
    if name.endswith(".toml") or "/" in name or "\\" in name:
        if not Path(name).is_file():
            raise SpaceError(f"A path to a TOML file must exist, but there is no file {name}.")
        return Path(name)
    names = available(kind)
    if name not in names:
        close = get_close_matches(name, names, n=1, cutoff=0.4)
        hint = f"Did you mean `{close[0]}`? " if close else ""
        raise SpaceError(
            f"`{name}` must be one of the built-in {kind} or a path to a TOML file, but it is neither. "
            f"{hint}Known, in {FOLDER / kind}: {', '.join(names)}."
        )
    return FOLDER / kind / f"{name}.toml"


def read_toml(path: Path) -> dict[str, Any]:
    """Return what a TOML file holds; raise SpaceError if it is not readable as such."""
    try:
        return tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise SpaceError(f"{path} must be valid TOML, but: {error}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpaceError(f"{path} must be readable text, but: {error}.") from None


def check_keys(path: Path, table: Mapping[str, Any], known: Mapping[str, type], where: str) -> None:
    """Raise SpaceError, with the line, unless every key of ``table`` is known and its value of the known type."""
    for key, value in table.items():
        if key not in known:
            close = get_close_matches(key, known, n=1)
            hint = f"Did you mean `{close[0]}`? " if close else ""
            line = line_of(path, key)
            place = f"{path}, line {line}" if line else f"{path}"
            raise SpaceError(f"{place}: {where} has no key `{key}`. {hint}Known: {', '.join(known)}.")
        if not isinstance(value, known[key]):
            raise SpaceError(f"{path}: `{key}` of {where} must be a {known[key].__name__}, but it is {value!r}.")


def flat_overrides(path: Path, table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return dotted keys; nested tables and quoted dotted keys mean the same."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            flat |= {f"{key}.{k}": v for k, v in flat_overrides(path, value, where).items()}
        elif isinstance(value, SCALARS):
            flat[key] = value
        else:
            raise SpaceError(
                f"{path}: a value in {where} must be a number, a string or a boolean, but `{key}` is {value!r}."
            )
    return flat


def _load_preset(kind: str, name: str) -> Preset:
    path = find_file(kind, name)
    table = read_toml(path)
    known = {"title": str, "set": dict} | ({"budget": str} if kind == "datasets" else {})
    check_keys(path, table, known, f"a file of {kind}")
    overrides = flat_overrides(path, table.get("set", {}), "[set]")
    return Preset(path.stem, path, table.get("title", path.stem), overrides, table.get("budget"))


def load_budget(name: str) -> Preset:
    """Return a budget by built-in name or path; raise SpaceError if there is none or it is malformed."""
    return _load_preset("budgets", name)


def load_dataset(name: str) -> Preset:
    """Return the settings that suit a data set, which are empty where there is no file for it."""
    if name not in available("datasets"):
        return Preset(name, FOLDER / "datasets", name, {})
    return _load_preset("datasets", name)


def load_grid(name: str) -> Grid:
    """Return a grid by built-in name or path.

    Raises:
        SpaceError: there is none, or it is malformed; the message names the file and, where it can, the line.
    """
    path = find_file("grids", name)
    table = read_toml(path)
    check_keys(path, table, {"title": str, "reference": str, "base": dict, "row": list}, "a grid")
    rows = []
    for i, row in enumerate(table.get("row", []), 1):
        if not isinstance(row, dict):
            raise SpaceError(f"{path}: each row must be a table `[[row]]`, but row {i} is {row!r}.")
        check_keys(path, row, {"name": str, "set": dict}, f"row {i}")
        if "name" not in row:
            raise SpaceError(f"{path}: each row must have a `name`, but row {i} has none.")
        rows.append(Row(row["name"], flat_overrides(path, row.get("set", {}), f"row {row['name']!r}")))
    names = [row.name for row in rows]
    if not names:
        raise SpaceError(f"{path}: a grid must have at least one `[[row]]`, but it has none.")
    if len(set(names)) < len(names):
        twice = next(n for n in names if names.count(n) > 1)
        raise SpaceError(f"{path}: row names must differ, but {twice!r} stands more than once.")
    reference = table.get("reference", names[0])
    if reference not in names:
        close = get_close_matches(reference, names, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        raise SpaceError(
            f"{path}, line {line_of(path, 'reference')}: `reference` must name a row, but it is {reference!r}. "
            f"{hint}Rows: {', '.join(map(repr, names))}."
        )
    base = flat_overrides(path, table.get("base", {}), "[base]")
    return Grid(path.stem, path, table.get("title", path.stem), reference, base, tuple(rows))
