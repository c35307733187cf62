"""How much of a search's gain is left on seeds that it has not used: numbers and words, nothing is run here."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from scipy import stats

from dfkd.errors import ConfigError
from harness.records import Plan
from harness.search.objectives import Objective, read_values
from harness.store import Store

TEST = Objective("test", "test accuracy", True, lambda done: done.result.get("last"))
"""Reported of what was confirmed. It is no objective, and chooses nothing."""


def check_fresh(seeds: Collection[int], search_seed: int) -> None:
    """Raise ConfigError unless the search has used none of ``seeds``."""
    if search_seed in seeds:
        raise ConfigError(
            f"`--seeds` must be seeds that the search has not used, but {search_seed} is the search's own: there its "
            "best trials are the best by choice. Leave it out."
        )


@dataclass(frozen=True)
class Confirmed:
    """What a row came to on fresh seeds, in one objective."""

    row: str
    """Name of the row."""
    searched: float | None
    """Its value in the search; None if the search has none."""
    values: Mapping[int, float]
    """By seed; without the seeds whose cells are not done."""
    gains: tuple[float, ...]
    """Over the reference row at the same seed, where both are done: positive is better."""

    @property
    def mean(self) -> float:
        """Return the mean over the seeds; NaN without any."""
        return mean(self.values.values()) if self.values else math.nan

    @property
    def sd(self) -> float:
        """Return the sd over the seeds, with n - 1 below; NaN for fewer than two."""
        return stdev(self.values.values()) if len(self.values) > 1 else math.nan

    @property
    def gain(self) -> float:
        """Return the mean of the paired gains; NaN without any."""
        return mean(self.gains) if self.gains else math.nan

    @property
    def interval(self) -> tuple[float, float] | None:
        """Return the 95 % interval of the mean gain by Student's t; None for fewer than two, or if all are equal."""
        if len(self.gains) < 2 or math.isclose(min(self.gains), max(self.gains), abs_tol=1e-12):
            return None
        low, high = stats.t.interval(0.95, len(self.gains) - 1, loc=self.gain, scale=stats.sem(self.gains))
        return float(low), float(high)


def confirmed(
    store: Store,
    plan: Plan,
    objective: Objective,
    *,
    searched: Mapping[str, float | None],
    classes: int,
) -> list[Confirmed]:
    """Return every row of ``plan`` in its order; ``searched`` has the rows' values in the search."""
    found: dict[str, dict[int, float]] = {row: {} for row in plan.rows}
    for cell in plan.cells:
        (value,) = read_values(store, cell.id, [objective], classes=classes)
        if value is not None and math.isfinite(value):
            found[cell.row][cell.seed] = value
    start = found[plan.reference]
    return [
        Confirmed(
            row,
            searched.get(row),
            values,
            tuple(objective.gain(value, start[seed]) for seed, value in values.items() if seed in start),
        )
        for row, values in found.items()
    ]


def verdict(row: Confirmed, reference: Confirmed, objective: Objective) -> str:
    """Return in words how much of the row's gain is left, and what the seeds can and cannot tell."""
    n = len(row.gains)
    if n == 0:
        return f"{row.row}: no seed is done here and in {reference.row!r}, so nothing is confirmed."
    seeds = f"{n} fresh seed{'s' if n > 1 else ''}"
    fresh = objective.show_difference(row.gain)
    if row.searched is None or reference.searched is None:
        told = f"{row.row}: {fresh} on {seeds}; the search has no value of {reference.row!r} to compare its gain with."
    else:
        before = objective.gain(row.searched, reference.searched)
        told = f"{row.row}: {objective.show_difference(before)} in the search, {fresh} on {seeds}"
        told += f"{_share_left(row.gain, before)}."
    return f"{told} {_interval_words(row, objective)}"


def _share_left(gain: float, before: float) -> str:
    if before <= 0:
        return "; the search had found no gain"
    return f": {100 * gain / before:.0f} % of the gain is left" if gain > 0 else ": nothing of the gain is left"


def _interval_words(row: Confirmed, objective: Objective) -> str:
    n = len(row.gains)
    if n == 1:
        return "One seed gives no interval."
    if row.interval is None:
        return f"All {n} differences are equal, which gives no interval."
    low, high = row.interval
    shown = f"{objective.show_difference(low)} to {objective.show_difference(high)}"
    told = f"95 % interval of the paired difference {shown} (Student's t, n = {n})"
    if low <= 0 <= high:
        return f"{told}: it holds 0, so these seeds do not tell the row from the settings as they are."
    better = "better" if low > 0 else "worse"
    return f"{told}: it leaves out 0, so on other seeds the row is likely {better}."


def caution(rows: int, objectives: Sequence[Objective]) -> str:
    """Return what the numbers cannot tell."""
    parts = []
    if any(objective.name == "accuracy" for objective in objectives):
        parts.append(
            "Fresh seeds take away the luck of the search's seed, not that of the validation images, which are those "
            "that the search chose on; the test split is shown for that, and chose nothing."
        )
    if rows > 1:
        parts.append(
            f"Each interval stands for its row alone: to pick the best of the {rows} by these numbers is to search "
            "again."
        )
    return " ".join(parts)
