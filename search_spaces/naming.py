"""Short names for the rows that operators make."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from search_spaces.rows import COLUMN_KEYS


@dataclass(frozen=True)
class Names:
    """What keys and values are called in the names of rows."""

    given: Mapping[str, str]
    """By dotted key, its name; by dotted key and value, such as ``method.scratch``, what stands for both."""
    keys: frozenset[str]
    """All keys that have to be told apart."""

    def part(self, key: str) -> str:
        """Return the name of something that is on or off: ``mhad`` for ``student_loss.mhad.weight``."""
        others = {_without_weight(other) for other in self.keys}
        return self.given.get(key) or _shortest(_without_weight(key), others, parts=1)

    def setting(self, key: str, value: Any) -> str:
        """Return the name of a key with a value: ``mhad.weight = 10``."""
        text = value_text(value)
        label = self.given.get(f"{key}.{text}")
        return label or f"{self.given.get(key) or _shortest(key, self.keys, parts=2)} = {text}"

    def settings(self, overrides: Mapping[str, Any]) -> str:
        """Return the names of several keys with their values, joined by commas."""
        return ", ".join(self.setting(key, value) for key, value in overrides.items())

    def column(self, overrides: Mapping[str, Any]) -> str:
        """Return what is called by images and teacher among ``overrides``; empty if none of them is."""
        return self.settings({key: value for key, value in overrides.items() if key.startswith(COLUMN_KEYS)})


def value_text(value: Any) -> str:
    """Return a scalar as it is written in TOML, without quotes and without ``.0``."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _without_weight(key: str) -> str:
    return key.removesuffix(".weight")


def _shortest(key: str, others: Iterable[str], *, parts: int) -> str:
    """Return the last ``parts`` parts of a dotted key, or as many as tell it from ``others``."""
    pieces = key.split(".")
    rivals = [other.split(".") for other in others if other != key]
    while parts < len(pieces) and any(rival[-parts:] == pieces[-parts:] for rival in rivals):
        parts += 1
    return ".".join(pieces[-parts:])
