"""Which finished cells were trained by code that has changed since."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from dfkd.config import RunConfig
from dfkd.overrides import flatten
from harness.fingerprint import fingerprint
from harness.records import CellRecord, ReadJson, read_cell, read_json

UNKNOWN = "unknown"
"""Stands for the fingerprint of code that did not leave one."""

_DEFAULTS = flatten(RunConfig())


def staleness(store: Path, record: CellRecord, read: ReadJson = read_json) -> str | None:
    """Return ``current``, ``stale`` or ``unknown`` for a cell that has ended, None for another.

    Stale is a cell of which an epoch was trained by code with another fingerprint than the present one has; unknown,
    one of which an epoch was trained before fingerprints were recorded. Files are got by ``read``.
    """
    end = record.result or record.diverged
    if end is None:
        return None
    content = read(f"{store}/cells/{record.id}/config.json") or {}
    return judge(end.get("trainer", [UNKNOWN]), content.get("config"))


def judge(used: Sequence[str], config: dict[str, Any] | None) -> str:
    """Return ``current``, ``stale`` or ``unknown`` for a cell of this configuration.

    ``used`` are the fingerprints of the code that trained its epochs.
    """
    if config is None or UNKNOWN in used:
        return "unknown"
    return "current" if set(used) == {fingerprint(_DEFAULTS | config)} else "stale"


def code_counts(store: Path, ids: Iterable[str]) -> dict[str, int]:
    """Return how many of the distinct cells ``ids`` are done and ``stale``, and how many are of ``unknown_code``."""
    found = [staleness(store, read_cell(store, cell_id)) for cell_id in ids]
    return {"stale": found.count("stale"), "unknown_code": found.count("unknown")}


def stale_cells(store: Path, ids: Iterable[str], read: ReadJson = read_json) -> tuple[str, ...]:
    """Return those of the distinct cells ``ids`` that are stale, in order. Files are got by ``read``."""
    return tuple(cell_id for cell_id in ids if staleness(store, read_cell(store, cell_id, read), read) == "stale")
