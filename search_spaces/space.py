"""Reading search spaces. As for grids, what a key means is not known here: the harness checks keys and values."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from search_spaces.domains import COMPARISONS, Choices, Condition, Parameter, Range, Scalar
from search_spaces.loader import SCALARS, SpaceError, check_keys, find, flat_overrides, line_of, read_toml

SHAPE = "must be `{ low = ..., high = ... }`, with `log` or `step` if wanted, or `{ choices = [...] }`"


@dataclass(frozen=True)
class Space:
    """What a search may change, and between which ends."""

    name: str
    """Of the file, without its suffix."""
    path: Path
    """Where it was read."""
    title: str
    """What is searched."""
    base: Mapping[str, Any]
    """Overrides that every trial shares."""
    parameters: tuple[Parameter, ...]
    """In the file's order; a condition looks at parameters that stand before it."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the searched fields."""
        return tuple(parameter.key for parameter in self.parameters)

    def fits(self, point: Mapping[str, object]) -> bool:
        """Return whether ``point`` has a value of the space for each parameter that counts, and nothing else."""
        seen: dict[str, Any] = {}
        for parameter in self.parameters:
            if parameter.counts(seen):
                if not parameter.domain.contains(point.get(parameter.key)):
                    return False
                seen[parameter.key] = point[parameter.key]
        return seen.keys() == point.keys()

    def freeze(self, values: Mapping[str, Scalar]) -> "Space":
        """Return the space without the parameters that ``values`` fixes, and without those that then never count."""
        kept: list[Parameter] = []
        never: set[str] = set()
        for parameter in self.parameters:
            settled = [condition for condition in parameter.when if condition.key in {*values, *never}]
            if parameter.key in values:
                continue
            if all(condition.holds(values) for condition in settled):
                kept.append(replace(parameter, when=tuple(each for each in parameter.when if each not in settled)))
            else:
                never.add(parameter.key)
        return replace(self, parameters=tuple(kept))

    def read(self, values: Mapping[str, Scalar]) -> dict[str, Scalar] | None:
        """Return the point at which a configuration's ``values`` lie, None if they lie outside."""
        point: dict[str, Scalar] = {}
        for parameter in self.parameters:
            if parameter.counts(point):
                if not parameter.domain.contains(values[parameter.key]):
                    return None
                point[parameter.key] = parameter.domain.settle(values[parameter.key])  # type: ignore[arg-type]
        return point


def load_space(name: str) -> Space:
    """Return a search space by built-in name or path.

    Raises:
        SpaceError: there is none, or it is malformed; the message names the file and, where it can, the line.
    """
    path = find("spaces", name)
    table = read_toml(path)
    check_keys(path, table, {"title": str, "base": dict, "parameters": dict}, "a search space")
    base = flat_overrides(path, table.get("base", {}), "[base]")
    parameters: list[Parameter] = []
    for key, entry in table.get("parameters", {}).items():
        if key in base:
            raise SpaceError(f"{_place(path, key)}: `{key}` is searched, so `[base]` must not set it, but it does.")
        parameters.append(_parameter(path, key, entry, parameters))
    if not parameters:
        raise SpaceError(f"{path}: a search space must have at least one line under `[parameters]`, but it has none.")
    return Space(path.stem, path, table.get("title", path.stem), base, tuple(parameters))


def _place(path: Path, key: str) -> str:
    line = line_of(path, key)
    return f"{path}, line {line}" if line else str(path)


def _parameter(path: Path, key: str, entry: Any, before: list[Parameter]) -> Parameter:
    place = _place(path, key)
    if not isinstance(entry, dict):
        raise SpaceError(f"{place}: `{key}` {SHAPE}, but it is {entry!r}.")
    known = {"low": int | float, "high": int | float, "log": bool, "step": int | float, "choices": list, "when": dict}
    for name, value in entry.items():
        if name not in known:
            close = get_close_matches(name, known, n=1)
            quoted = "'\"" + key + "\"'" if "." in key else key
            hint = f"Did you mean `{close[0]}`? " if close else ""
            hint = hint or f"A key with dots stands in quotes: {quoted}. "
            raise SpaceError(f"{place}: `{key}` has no setting `{name}`. {hint}Known: {', '.join(known)}.")
        if not isinstance(value, known[name]) or (isinstance(value, bool) and name != "log"):
            kind = getattr(known[name], "__name__", "number")
            raise SpaceError(f"{place}: `{name}` of `{key}` must be a {kind}, but it is {value!r}.")
    if ("choices" in entry) == ("low" in entry or "high" in entry):
        raise SpaceError(f"{place}: `{key}` {SHAPE}, but it is {_shown(entry)}.")
    domain = _choices(place, key, entry) if "choices" in entry else _range(place, key, entry)
    when = tuple(_condition(place, key, other, text, before) for other, text in entry.get("when", {}).items())
    return Parameter(key, domain, when)


def _shown(entry: Mapping[str, Any]) -> str:
    return "{ " + ", ".join(f"{name} = {value!r}" for name, value in entry.items()) + " }"


def _choices(place: str, key: str, entry: Mapping[str, Any]) -> Choices:
    options = entry["choices"]
    for name in ("log", "step"):
        if name in entry:
            raise SpaceError(f"{place}: `{name}` must stand with a range, but `{key}` has choices. Leave it out.")
    if len(options) < 2 or not all(isinstance(option, SCALARS) for option in options):
        raise SpaceError(
            f"{place}: `choices` of `{key}` must be two or more numbers, strings or booleans, but they are {options!r}."
        )
    twice = [option for i, option in enumerate(options) if option in options[:i]]
    if twice:
        raise SpaceError(f"{place}: `choices` of `{key}` must differ, but {twice[0]!r} stands more than once.")
    return Choices(tuple(options))


def _range(place: str, key: str, entry: Mapping[str, Any]) -> Range:
    for name in ("low", "high"):
        if name not in entry:
            raise SpaceError(f"{place}: `{key}` {SHAPE}, but `{name}` is missing.")
    low, high, step, log = entry["low"], entry["high"], entry.get("step"), entry.get("log", False)
    if not all(isinstance(number, int) for number in (low, high, step or 0)):
        low, high, step = float(low), float(high), None if step is None else float(step)
    if not all(math.isfinite(number) for number in (low, high, step or 0)):
        raise SpaceError(f"{place}: the range of `{key}` must be finite, but it is {_shown(entry)}.")
    if low >= high:
        raise SpaceError(
            f"{place}: `low < high` must hold, but `{key}` has low = {low:g}, high = {high:g}. A value that does not "
            "vary belongs under `[base]`."
        )
    if log and low <= 0:
        raise SpaceError(
            f"{place}: `low > 0` must hold where `log = true`, but `{key}` has low = {low:g}. Leave `log` out, or "
            "start above zero."
        )
    if step is not None:
        if log or step <= 0:
            rule = "must not stand beside `log = true`" if log else "must be > 0"
            raise SpaceError(f"{place}: `step` {rule}, but `{key}` has step = {step:g}.")
        if (Decimal(str(high)) - Decimal(str(low))) % Decimal(str(step)):
            raise SpaceError(
                f"{place}: `high - low` must be a multiple of `step`, but `{key}` has low = {low:g}, high = {high:g}, "
                f"step = {step:g}."
            )
    return Range(low, high, log, step)


def _condition(place: str, key: str, other: str, text: Scalar, before: list[Parameter]) -> Condition:
    parent = next((parameter for parameter in before if parameter.key == other), None)
    if parent is None:
        names = [parameter.key for parameter in before]
        close = get_close_matches(other, names, n=1)
        hint = f"Did you mean `{close[0]}`? " if close else ""
        listed = ", ".join(names) if names else "none"
        raise SpaceError(
            f"{place}: `when` of `{key}` must name a parameter that stands above it, but it names `{other}`. "
            f"{hint}Above it: {listed}."
        )
    sign = next((sign for sign in COMPARISONS if isinstance(text, str) and text.startswith(sign)), None)
    if sign is None:
        if not isinstance(text, SCALARS) or not parent.domain.contains(text):
            raise SpaceError(
                f'{place}: `when` of `{key}` must be a value of `{other}` or a comparison such as "> 0", but it is '
                f"{text!r}, and `{other}` is {parent.domain}."
            )
        return Condition(other, "==", text)
    number = str(text).removeprefix(sign).strip()
    try:
        return Condition(other, sign, float(number))
    except ValueError:
        raise SpaceError(
            f'{place}: a comparison in `when` of `{key}` must be with a number, such as "> 0", but it is {text!r}.'
        ) from None
