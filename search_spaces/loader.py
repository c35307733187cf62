"""Reading TOML files and presets. What a key means is not known here: the harness checks keys and values."""

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
    year: int | None = None
    """For a method: of its publication."""
    source: str = ""
    """For a method: where it was published."""


def available(kind: str) -> list[str]:
    """Return the names of the built-in ``grids``, ``budgets``, ``datasets`` or ``methods``."""
    return sorted(path.stem for path in (FOLDER / kind).glob("*.toml"))


def line_of(path: Path, key: str, *, after: int = 0) -> int | None:
    """Return the number of the first line of ``path`` beyond ``after`` that sets or names ``key``, for a message."""
    sets = re.compile(rf"""^[^#]*?(?<![\w.-])["']?{re.escape(key)}["']?\s*=""")
    names = re.compile(rf"""^[^#]*?["']{re.escape(key)}["']""")
    lines = path.read_text().splitlines()
    for pattern in (sets, names):
        for number, line in enumerate(lines[after:], after + 1):
            if pattern.match(line):
                return number
    return None


def find(kind: str, name: str, *, folder: Path | None = None) -> Path:
    """Return the file of a built-in name, or of a path (it ends in .toml or holds a separator) from ``folder``.

    Raises:
        SpaceError: there is no such file.
    """
    if name.endswith(".toml") or "/" in name or "\\" in name:
        path = folder / name if folder else Path(name)
        if not path.is_file():
            raise SpaceError(f"A path to a TOML file must exist, but there is no file {path}.")
        return path
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


TOML_TYPES = {dict: "table", list: "list", str: "string", int: "whole number"}
"""What Python's types are called in a TOML file."""


def check_keys(path: Path, table: Mapping[str, Any], known: Mapping[str, type], where: str, *, after: int = 0) -> None:
    """Raise SpaceError unless every key of ``table`` is known and its value of the known type.

    The message names the first line beyond ``after`` that has the key.
    """
    for key, value in table.items():
        if key not in known:
            close = get_close_matches(key, known, n=1)
            hint = f"Did you mean `{close[0]}`? " if close else ""
            raise SpaceError(f"{place(path, key, after)}: {where} has no key `{key}`. {hint}Known: {', '.join(known)}.")
        if not isinstance(value, known[key]):
            kind = TOML_TYPES[known[key]]
            raise SpaceError(f"{place(path, key, after)}: `{key}` of {where} must be a {kind}, but it is {value!r}.")


def place(path: Path, key: str, after: int = 0) -> str:
    """Return ``path`` with the line beyond ``after`` that has ``key``, if there is one, for the start of a message."""
    line = line_of(path, key, after=after)
    return f"{path}, line {line}" if line else str(path)


def dotted(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the leaves of nested tables by dotted key: ``"a.b" = 1`` and ``a = {b = 1}`` mean the same."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= {f"{key}.{k}": v for k, v in dotted(value).items()} if isinstance(value, dict) else {key: value}
    return flat


def flat_overrides(path: Path, table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return dotted keys with scalars; raise SpaceError, with the line, for a value that is none."""
    flat = dotted(table)
    for key, value in flat.items():
        if not isinstance(value, SCALARS):
            raise SpaceError(
                f"{place(path, key)}: a value in {where} must be a number, a string or a boolean, but `{key}` is "
                f"{value!r}."
            )
    return flat


MORE: Mapping[str, Mapping[str, type]] = {"datasets": {"budget": str}, "methods": {"year": int, "source": str}}
"""What files of presets hold besides title and overrides."""


def _load_preset(kind: str, name: str) -> Preset:
    path = find(kind, name)
    table = read_toml(path)
    known = {"title": str, "set": dict, **MORE.get(kind, {})}
    check_keys(path, table, known, f"a file of {kind}")
    overrides = flat_overrides(path, table.get("set", {}), "[set]")
    more = {key: table[key] for key in MORE.get(kind, {}) if key in table}
    return Preset(path.stem, path, table.get("title", path.stem), overrides, **more)


def load_budget(name: str) -> Preset:
    """Return a budget by built-in name or path; raise SpaceError if there is none or it is malformed."""
    return _load_preset("budgets", name)


def load_method(name: str) -> Preset:
    """Return the preset of a method; raise SpaceError if there is none or it is malformed."""
    return _load_preset("methods", name)


def load_dataset(name: str) -> Preset:
    """Return the settings that suit a data set, which are empty where there is no file for it."""
    if name not in available("datasets"):
        return Preset(name, FOLDER / "datasets", name, {})
    return _load_preset("datasets", name)
