"""How a number of a table follows from its runs, in words: the same functions as the table's, with what went in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.records import Plan
from reports.comparison import comparison, seeds_to_add
from reports.cost import HOUR, Networks, cost_table
from reports.sheet import mean_and_sd, rounded, rounded_cost
from reports.statistics import MOST_SEEDS, POWER, RESAMPLES, fewest_seeds, smallest_p
from reports.table import ablation_table, accuracy_by_seed

PAIRED = ("difference", "difference_interval", "test", "more_seeds")
"""Numbers that the reference's runs stand behind as well."""


@dataclass(frozen=True)
class Given:
    """What a number is made of."""

    frame: pd.DataFrame
    """Of all rows of the plan, as from ``runs_frame``."""
    plan: Plan
    row: str
    selection: str
    networks: Networks

    def values(self, *, paired: bool) -> "pd.Series[Any]":
        """Return the row's accuracies in percent by seed, or its differences from the reference in points."""
        accuracy = accuracy_by_seed(self.frame, plan=self.plan, selection=self.selection)
        own = accuracy[self.row] - accuracy[self.plan.reference] if paired else accuracy[self.row]
        return own.dropna()

    def compared(self) -> Any:
        """Return ``comparison`` of all rows."""
        return comparison(self.frame, plan=self.plan, selection=self.selection)


def derivation(
    number: str, frame: pd.DataFrame, *, plan: Plan, row: str, selection: str = "last", networks: Networks | None = None
) -> list[str]:
    """Return how a row's number, a name of ``COLUMNS``, came about, as sentences; none where it has no run.

    ``frame`` is that of the whole plan: the test is corrected for its rows, and hours are of one unit in all of them.
    """
    return _DERIVED[number](Given(frame, plan, row, selection, networks or {}))


def _listed(values: "pd.Series[Any]") -> str:
    return ", ".join(f"{value:.2f}" for value in values)


def _mean(given: Given, *, paired: bool) -> list[str]:
    values = given.values(paired=paired)
    if values.empty:
        return []
    head = f"Mean over {len(values)} of {len(given.plan.seeds)} seeds of {_listed(values)}: {values.mean():.2f}"
    if paired or len(values) < 2:
        return [head]
    table: Any = ablation_table(given.frame, plan=given.plan, selection=given.selection)
    return [head, f"In the table: {mean_and_sd(table.at[given.row, 'accuracy'], table.at[given.row, 'sd'])}"]


def _interval(given: Given, *, paired: bool) -> list[str]:
    values = given.values(paired=paired)
    if paired and given.row == given.plan.reference:
        return ["It is the reference itself, which has no difference."]
    if len(values) < 2:
        return [f"Two seeds are the fewest for an interval, and there are {len(values)}."]
    low, high = ("difference_low", "difference_high") if paired else ("low", "high")
    line, spec = given.compared().loc[given.row], "+.2f" if paired else ".2f"
    shown = f"{rounded(line[low], spec)} to {rounded(line[high], spec)}"
    method = f"BCa bootstrap of their mean, {RESAMPLES} resamples of whole seeds"
    return [f"95 % interval from {len(values)} seeds, {_listed(values)}, by {method}: {shown}"]


def _test(given: Given) -> list[str]:
    values = given.values(paired=True)
    if given.row == given.plan.reference:
        return ["It is the reference itself, which is not tested."]
    if values.empty:
        return ["There is no seed that row and reference have both done."]
    compared = given.compared()
    line = compared.loc[given.row]
    tested = compared["p"].dropna().sort_values(kind="stable")
    every = "; ".join(f"{row} {p:.3g}" for row, p in tested.items())
    return [
        f"Sign flips of {len(values)} differences, {_listed(values)}: p = {line['p']:.3g}, "
        f"and none below {smallest_p(len(values)):.3g} is possible",
        f"Holm's correction for {len(tested)} rows (p of each: {every}): p = {line['p_holm']:.3g}",
        f"In the table: {line['verdict']}",
    ]


def _more_seeds(given: Given) -> list[str]:
    values = given.values(paired=True)
    if given.row == given.plan.reference:
        return ["It is the reference itself, which has no difference."]
    if len(values) < 2:
        return [f"Two seeds are the fewest that show a spread, and there are {len(values)}."]
    compared = given.compared()
    line = compared.loc[given.row]
    least, rows = fewest_seeds(tests := int(compared["p"].count())), f"{tests} rows" if tests > 1 else "one row"
    return [
        f"A paired t-test of {len(values)} differences, {_listed(values)}, of sd {values.std(ddof=1):.2f}, finds a "
        f"true difference of {line['detectable']:.2f} with chance {POWER:g}",
        f"For the one seen, {values.mean():+.2f}, it takes {_seeds(line['seeds_needed'])}, and never fewer than "
        f"{least}, below which a sign-flip test among {rows} can show nothing",
        f"In the table, besides the {len(values)}: {seeds_to_add(line).text}",
    ]


def _seeds(needed: float) -> str:
    return f"more than {MOST_SEEDS}" if pd.isna(needed) else f"{needed:.0f}"


def _runs(given: Given) -> list[str]:
    found = given.frame.loc[given.frame["row"] == given.row, "status"].value_counts()
    return [f"Of {len(given.plan.seeds)} planned: " + ", ".join(f"{count} {name}" for name, count in found.items())]


def _hours(given: Given) -> list[str]:
    table: Any = cost_table(given.frame, plan=given.plan, networks=given.networks)
    hours, unit = table.at[given.row, "hours"], table.attrs["unit"]
    if pd.isna(hours):
        return []
    name = "seconds" if unit == "GPU" else "cpu_seconds"
    done = given.frame[(given.frame["row"] == given.row) & (given.frame["status"] == "done")]
    seconds = done[name].dropna()
    return [
        f"Mean over {len(seconds)} of {len(given.plan.seeds)} runs of {_listed(seconds)} {unit} seconds: "
        f"{hours * HOUR:.2f}, in hours {rounded_cost(hours)}"
    ]


def _network(given: Given, *, number: str, unit: str) -> list[str]:
    table: Any = cost_table(given.frame, plan=given.plan, networks=given.networks)
    value = table.at[given.row, number]
    if pd.isna(value):
        return []
    classes, size = given.plan.context.get("classes"), given.plan.context.get("image_size")
    of = f"Counted on the student's modules, for {classes} classes and one image of {size} x {size} pixels"
    return [f"{of}: {value:.4f} {unit}, the same in every run"]


_DERIVED: Mapping[str, Callable[[Given], list[str]]] = {
    "accuracy": lambda given: _mean(given, paired=False),
    "interval": lambda given: _interval(given, paired=False),
    "difference": lambda given: _mean(given, paired=True),
    "difference_interval": lambda given: _interval(given, paired=True),
    "test": _test,
    "more_seeds": _more_seeds,
    "runs": _runs,
    "hours": _hours,
    "parameters": lambda given: _network(given, number="parameters", unit="million parameters"),
    "flops": lambda given: _network(given, number="flops", unit="thousand million multiply-accumulates"),
}
