"""What a grid's runs say about each row, in numbers and in words."""

from typing import Any

import pandas as pd

from harness.records import Plan
from reports.sheet import MISSING, Entry
from reports.statistics import (
    LEVEL,
    MOST_SEEDS,
    detectable_difference,
    holm,
    mean_intervals,
    seeds_needed,
    sign_flip_p,
    smallest_p,
)
from reports.table import accuracy_by_seed


def comparison(frame: pd.DataFrame, *, plan: Plan, selection: str = "last") -> pd.DataFrame:
    """Return one line per planned row, from the lines of ``runs_frame``; percent and percentage points, unrounded.

    Columns: ``low`` and ``high``, the bootstrap interval of the mean accuracy; ``pairs``, the seeds that the row and
    ``plan.reference`` have both done; over these, ``difference`` with ``difference_low`` and ``difference_high``, ``p``
    of the sign-flip test, ``p_holm`` corrected for the rows that were tested, ``detectable``, the smallest difference
    that so many seeds would find, ``seeds_needed`` for the difference seen, and ``verdict``, which says it in words.
    What cannot be computed is NaN.
    """
    accuracy = accuracy_by_seed(frame, plan=plan, selection=selection)
    differences = accuracy.sub(accuracy[plan.reference], axis="index")
    others = [row for row in plan.rows if row != plan.reference]
    paired = {row: differences[row].dropna() for row in plan.rows}
    p_values = {row: sign_flip_p(paired[row].tolist()) for row in others}
    tested = [row for row in others if len(paired[row])]
    corrected = holm(p_values)
    of_means = mean_intervals([accuracy[row].dropna().tolist() for row in plan.rows])
    of_differences = mean_intervals([paired[row].tolist() for row in plan.rows])
    lines = []
    for row, own, interval in zip(plan.rows, of_means, of_differences, strict=True):
        points = paired[row]
        line: dict[str, float | str] = {"low": own.low, "high": own.high, "pairs": len(points)}
        if row != plan.reference:
            sd, mean = float(points.std(ddof=1)), float(points.mean())
            needed = seeds_needed(mean, sd, tests=len(tested)) if len(points) > 1 else None
            line |= {
                "difference": mean,
                "difference_low": interval.low,
                "difference_high": interval.high,
                "p": p_values[row],
                "p_holm": corrected[row],
                "detectable": detectable_difference(sd, len(points)),
                "seeds_needed": float("nan") if needed is None else needed,
                "verdict": _verdict(mean, len(points), corrected[row], len(tested)),
            }
        lines.append(line)
    names = [
        "low", "high", "pairs", "difference", "difference_low", "difference_high", "p", "p_holm", "detectable",
        "seeds_needed", "verdict",
    ]  # fmt: skip
    table = pd.DataFrame(lines, index=pd.Index(plan.rows, name="row"), columns=names)
    return table.fillna({"verdict": ""})


def _verdict(mean: float, pairs: int, p: float, tests: int) -> str:
    """Return in words what a test of so many ``pairs`` came to, one of so many ``tests``."""
    if not pairs:
        return "no seed in common"
    least = min(1.0, tests * smallest_p(pairs))
    if least > LEVEL:
        among = f" among {tests} rows" if tests > 1 else ""
        return f"n = {pairs} too small to test: p cannot be below {least:.3g}{among}"
    if p <= LEVEL:
        return f"{'higher' if mean > 0 else 'lower'} (p = {p:.3g})"
    return f"no difference shown (p = {p:.3g})"


def seeds_to_add(line: Any) -> Entry:
    """Return how many seeds a row lacks for the difference seen, of its line of ``comparison``; one seed or none tells
    nothing of the spread."""
    if line["pairs"] < 2:
        return Entry(MISSING)
    if pd.isna(line["seeds_needed"]):
        return Entry(f"> {MOST_SEEDS}", sorts_by=MOST_SEEDS)
    return Entry(f"{max(0, line['seeds_needed'] - line['pairs']):.0f}")


def in_words(frame: pd.DataFrame, *, plan: Plan, selection: str = "last") -> list[str]:
    """Return a sentence for each row but the reference: what was seen, what it proves, what it would take."""
    table = comparison(frame, plan=plan, selection=selection)
    sentences = []
    for row, line in table.iterrows():
        if row == plan.reference:
            continue
        if not line["pairs"]:
            sentences.append(f"{row}: no seed that {plan.reference} has done too.")
            continue
        seen = f"{row}: {line['difference']:+.2f} points from {plan.reference}"
        if line["pairs"] == 1:
            sentences.append(f"{seen} on one seed, which has no spread and proves nothing.")
            continue
        interval = f"95 % interval {line['difference_low']:+.2f} to {line['difference_high']:+.2f}"
        detectable = f"{line['pairs']} seeds would find a difference of {line['detectable']:.2f} points in 4 of 5 cases"
        more = _more(line["seeds_needed"], int(line["pairs"]))
        sentences.append(f"{seen} over {line['pairs']} seeds ({interval}): {line['verdict']}. {detectable}; {more}.")
    return sentences


def _more(needed: float, pairs: int) -> str:
    """Return how many seeds a difference like the one seen asks for."""
    if pd.isna(needed):
        return "to show the difference seen, more than a thousand would be needed"
    if needed <= pairs:
        return "they are enough for the difference seen"
    return f"to show the difference seen, {needed - pairs:.0f} more are needed ({needed:.0f} in all)"
