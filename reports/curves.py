"""A metric of the logs over epochs or time: each seed's own curve, the seeds together, and when a level is reached."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from harness.records import Plan
from reports.errors import ReportError

MINUTE = 60.0
Logs = Mapping[str, Sequence[Mapping[str, Any]]]
"""The epochs of each cell, in order."""
Curves = dict[str, dict[int, "pd.Series[float]"]]
"""By row and seed: the metric at the end of each epoch."""


@dataclass(frozen=True)
class Axis:
    """What a metric is drawn over."""

    title: str
    """On the axis."""
    column: str
    """In a table."""
    unit: str
    """In a sentence, after a number."""
    seconds: str | None
    """The log's entry, of one epoch, that adds up to the time; None for epochs."""


AXES = {
    "epochs": Axis("epoch", "epoch", "epochs", None),
    "cpu-minutes": Axis("CPU minutes of training", "cpu_minutes", "CPU minutes", "cpu_seconds"),
    "wall-minutes": Axis("minutes of training", "minutes", "minutes", "seconds"),
}
"""CPU minutes are of all threads, and those of a machine that does other work besides; wall minutes are not."""


def percent(metric: str) -> float:
    """Return what a logged value is multiplied by to be shown: 100 for fractions."""
    return 100.0 if metric.endswith(("accuracy", "agreement", "confidence", "class_coverage")) else 1.0


def seed_curves(logs: Logs, *, plan: Plan, metric: str, over: str = "epochs") -> Curves:
    """Return the curve of every seed that has recorded the ``metric``; fractions in percent.

    The time of an epoch's end is the sum of its training and that of all epochs before it: neither evaluation nor the
    teacher's training counts. Rows without a curve are left out.

    Raises:
        ReportError: no run has recorded the metric, or one that has did not record its time.
    """
    found: Curves = {}
    for cell in plan.cells:
        records = [record for record in logs[cell.id] if metric in record]
        if records:
            ends = _ends(logs[cell.id], over, f"{cell.row!r}, seed {cell.seed},")
            values = [percent(metric) * record[metric] for record in records]
            curve = pd.Series(values, index=[ends[record["epoch"]] for record in records], dtype=float)
            found.setdefault(cell.row, {})[cell.seed] = curve
    if not found:
        raise ReportError(f"A curve must have been recorded, but no run of {plan.grid!r} has {metric!r} in its log.")
    return found


def _ends(records: Sequence[Mapping[str, Any]], over: str, run: str) -> dict[int, float]:
    """Return where each epoch ends: its number, or the minutes until then."""
    seconds = AXES[over].seconds
    if seconds is None:
        return {record["epoch"]: record["epoch"] for record in records}
    missing = [record["epoch"] for record in records if seconds not in record]
    if missing:
        raise ReportError(
            f"A curve over {over} needs {seconds!r} of every epoch, but the log of {run} lacks it from epoch "
            f"{missing[0]} on. Draw it over epochs."
        )
    total = np.cumsum([record[seconds] for record in records]) / MINUTE
    return dict(zip([record["epoch"] for record in records], total.tolist(), strict=True))


def across_seeds(curves: Mapping[int, "pd.Series[float]"]) -> pd.DataFrame:
    """Return ``mean``, ``low`` and ``high`` of the seeds at every point that one of them has.

    Between its own points a seed is interpolated on a straight line. Nothing is extrapolated: only what every seed
    covers is there, from the latest first point to the earliest last one. Empty where that is nothing.
    """
    start = max(curve.index[0] for curve in curves.values())
    end = min(curve.index[-1] for curve in curves.values())
    grid = np.unique(np.concatenate([curve.index.to_numpy(dtype=float) for curve in curves.values()]))
    grid = grid[(grid >= start) & (grid <= end)]
    values = [np.interp(grid, curve.index.to_numpy(dtype=float), curve.to_numpy()) for curve in curves.values()]
    table = pd.DataFrame(np.array(values).T, index=grid)
    return pd.DataFrame({"mean": table.mean(axis=1), "low": table.min(axis=1), "high": table.max(axis=1)})


def curve_table(curves: Curves, *, over: str = "epochs") -> pd.DataFrame:
    """Return what is drawn: ``row``, the point on the axis, ``mean``, ``low``, ``high`` and how many ``seeds``."""
    name = AXES[over].column
    tables = [
        across_seeds(seeds).rename_axis(name).reset_index().assign(seeds=len(seeds)).assign(row=row)
        for row, seeds in curves.items()
    ]
    return pd.concat(tables)[["row", name, "mean", "low", "high", "seeds"]]


def reached(curve: "pd.Series[float]", level: float) -> float:
    """Return the end of the first epoch that is at ``level`` or above; infinity if none is.

    What the metric was within an epoch is not known, and is not guessed.
    """
    there = curve.index[curve >= level]
    return float(there[0]) if len(there) else float("inf")


def teacher_level(share: float, *, plan: Plan, metric: str) -> float:
    """Return ``share`` of the teacher's test accuracy, in percent.

    Raises:
        ReportError: the metric is not the test accuracy, or the rows have no one teacher whose accuracy is known.
    """
    accuracy = plan.context.get("teacher_accuracy")
    if metric != "test_accuracy":
        raise ReportError(f"A share of the teacher's accuracy goes with 'test_accuracy', but the metric is {metric!r}.")
    if accuracy is None:
        raise ReportError(
            f"A share of the teacher's accuracy needs one teacher whose accuracy is known, but the plan of "
            f"{plan.grid!r} names none."
        )
    return 100 * share * float(accuracy)


def reached_in_words(curves: Curves, level: float, *, over: str = "epochs") -> list[str]:
    """Return a line per row: after how much each seed reached ``level``, and the median of the seeds.

    A seed that never did counts as later than all others; with half of them or more the median is not reached either.
    """
    lines = []
    for row, seeds in curves.items():
        after = {seed: reached(curve, level) for seed, curve in seeds.items()}
        parts = [f"seed {seed} {_at(at, float(seeds[seed].index[-1]), over)}" for seed, at in after.items()]
        median = float(np.median(list(after.values())))
        middle = f"{_at(median, 0, over)} {AXES[over].unit}" if np.isfinite(median) else "not reached"
        lines.append(f"{row}: {', '.join(parts)}; median of {len(after)}: {middle}")
    return lines


def _at(value: float, end: float, over: str) -> str:
    """Return ``value`` in words; ``end`` is where the seed's curve stops."""
    number = f"{value if np.isfinite(value) else end:{'g' if over == 'epochs' else '.1f'}}"
    return number if np.isfinite(value) else f"not in {number}"
