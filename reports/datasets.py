"""A grid on several data sets, in the paper's layout: data sets as columns, rows as they are, real images on top."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from harness.records import Plan
from reports.checks import check_columns
from reports.errors import ReportError
from reports.published import Published
from reports.render import stale_runs
from reports.sheet import DAGGER, MISSING, PLUS_MINUS, Column, Entry, Sheet, marks, rounded
from reports.statistics import NO_INTERVAL, interquartile_interval, interquartile_mean
from reports.table import SELECTIONS, ablation_table, accuracy_by_seed, ranked_accuracy, real_rows

REAL = "Real images"
"""Begins the names of rows whose students were shown real images."""
MEAN_ROWS = ("table5",)
"""Tables that have a mean over the data sets in the paper."""


@dataclass(frozen=True)
class Part:
    """A plan of the grid, on one data set, and its runs."""

    plan: Plan
    frame: pd.DataFrame
    stale: Collection[str] = field(default=())

    @property
    def title(self) -> str:
        """Return the column's heading: the data set, and where it is not whole, how much of it."""
        context = self.plan.context
        size = f"{context['image_size']} px" if context.get("image_size") else ""
        classes = f"{context['classes']} classes" if context.get("classes") else ""
        about = ", ".join(filter(None, [classes, size]))
        return f"{context.get('dataset')} ({about})" if about else str(context.get("dataset"))


def column_titles(parts: Sequence[Part]) -> list[str]:
    """Return the columns' headings; where two are on the same data, with the teacher, or with what the grid names."""
    titles = [part.title for part in parts]
    for say in (lambda plan: f"teacher {plan.context.get('teacher')}", lambda plan: plan.context.get("named")):
        more = [say(part.plan) for part in parts]
        twice = [title for title in titles if titles.count(title) > 1]
        if any(len({say for t, say in zip(titles, more, strict=True) if t == title}) > 1 for title in twice):
            titles = [f"{t}, {say}" if t in twice and say else t for t, say in zip(titles, more, strict=True)]
    return titles


def paper_sheet(parts: Sequence[Part], *, selection: str = "last", published: Published | None = None) -> Sheet:
    """Return one grid's table over data sets: mean and sd in percent, "done/planned" where runs are missing.

    The best and the second are marked in each column, among rows that are complete there. With two data sets or more
    there is the interquartile mean over all their runs, with a stratified bootstrap interval.

    Raises:
        ReportError: plans of different grids, two on the same data, or runs that cannot stand in one column.
    """
    _check(parts)
    for part in parts:
        check_columns(part.frame, plan=part.plan, stale=part.stale)
    first = parts[0].plan
    rows = list(dict.fromkeys(row for part in parts for row in part.plan.rows))
    if first.grid == "table1":
        rows.sort(key=lambda row: not row.startswith(REAL))
    tables = [ablation_table(part.frame, plan=part.plan, selection=selection) for part in parts]
    columns = [_column(part, table, rows) for part, table in zip(parts, tables, strict=True)]
    titles = column_titles(parts)
    heads = [Column("Row"), *(Column(title) for title in titles)]
    numbers = pd.DataFrame(index=pd.Index(rows, name="row"))
    for title, table in zip(titles, tables, strict=True):
        for name in ("accuracy", "sd", "done"):
            numbers[f"{title}: {name}"] = table[name].reindex(rows)
    among = "complete data-free rows" if any(real_rows(part.frame) for part in parts) else "complete rows"
    more = [f"Best {{best}}, second {{second}} in each column, among {among}"]
    if len({part.title for part in parts}) == len(parts) > 1:
        heads.append(Column("Interquartile mean, 95 % interval"))
        across = _across(parts, rows, selection)
        columns.append({row: _across_entry(across.loc[row]) for row in rows})
        numbers = numbers.join(across)
        more.append("Interquartile mean: over all runs, interval drawn within each data set")
    if len(parts) > 1 and first.grid in MEAN_ROWS:
        means = pd.concat([table["accuracy"].reindex(rows) for table in tables], axis=1).mean(axis=1, skipna=False)
        heads.append(Column("Mean", number=True))
        columns.append({row: Entry(rounded(means[row]) or MISSING) for row in rows})
        numbers["mean"] = means
    lines = [tuple([Entry(row), *(column[row] for column in columns)]) for row in rows]
    real = sum(row.startswith(REAL) for row in rows) if first.grid == "table1" else 0
    rules: tuple[int, ...] = (real,) if 0 < real < len(rows) else ()
    if first.grid == "table1":
        lines.insert(0, _teachers(parts, len(heads)))
        rules = tuple(rule + 1 for rule in rules)
    if any(column[row].text.endswith(DAGGER) for column in columns for row in rows):
        more.append(f"{DAGGER}: with runs by code that has changed since")
    seeds = "; ".join(
        f"{title}: {', '.join(map(str, part.plan.seeds))}" for title, part in zip(titles, parts, strict=True)
    )
    caption = ". ".join(
        [first.title, f"Accuracy (%): mean {PLUS_MINUS} sd (n - 1), {SELECTIONS[selection]}", f"Seeds: {seeds}", *more]
    )
    sheet = Sheet(f"{first.grid}-paper", f"{caption}.", tuple(heads), tuple(lines), numbers, rules)
    return beside_paper(sheet, published, parts, tables) if published else sheet


def _check(parts: Sequence[Part]) -> None:
    if len({part.plan.grid for part in parts}) != 1:
        grids = ", ".join(sorted({part.plan.grid for part in parts})) or "none"
        raise ReportError(f"A table over data sets must be of one grid, but the plans are of: {grids}.")
    titles = column_titles(parts)
    twice = next((title for title in titles if titles.count(title) > 1), None)
    if twice:
        keys = ", ".join(part.plan.key for part, title in zip(parts, titles, strict=True) if title == twice)
        raise ReportError(f"A column must be one plan, but {twice} has several: {keys}. Choose one of each data set.")


def _column(part: Part, table: Any, rows: Sequence[str]) -> dict[str, Entry]:
    done = table["done"].str.split("/", expand=True)
    ranked = marks(ranked_accuracy(table, part.frame))
    stale = set(part.frame.loc[stale_runs(part.frame, part.stale), "row"])
    entries = {}
    for row in rows:
        if row not in table.index:
            entries[row] = Entry(MISSING)
            continue
        mean, sd = rounded(table.at[row, "accuracy"]), rounded(table.at[row, "sd"])
        text = f"{mean} {PLUS_MINUS} {sd}" if sd else mean or MISSING
        if done.at[row, 0] != done.at[row, 1]:
            text += f" ({table.at[row, 'done']})"
        entries[row] = Entry(f"{text} {DAGGER}" if row in stale else text, ranked.get(row, ""))
    return entries


def _across(parts: Sequence[Part], rows: Sequence[str], selection: str) -> pd.DataFrame:
    """Return the interquartile mean of each row that has run on every data set, with its interval where it has one."""
    wide = [accuracy_by_seed(part.frame, plan=part.plan, selection=selection) for part in parts]
    found = {}
    for row in rows:
        strata = [one[row].dropna().tolist() if row in one else [] for one in wide]
        interval = interquartile_interval(strata) if all(strata) else NO_INTERVAL
        middle = interquartile_mean([value for stratum in strata for value in stratum]) if all(strata) else float("nan")
        found[row] = {"interquartile_mean": middle, "low": interval.low, "high": interval.high}
    return pd.DataFrame.from_dict(found, orient="index").rename_axis("row")


def _across_entry(across: Any) -> Entry:
    middle, low, high = (rounded(across[name]) for name in ("interquartile_mean", "low", "high"))
    return Entry(f"{middle} ({low} to {high})" if low else middle or MISSING)


def _teachers(parts: Sequence[Part], columns: int) -> tuple[Entry, ...]:
    """Return the line of the teachers, which were trained on real images once."""
    found = [part.plan.context.get("teacher_accuracy") for part in parts]
    entries = [Entry(MISSING if value is None else f"{100 * value:.2f}") for value in found]
    return (Entry("Teacher, real images"), *entries, *[Entry(MISSING)] * (columns - 1 - len(parts)))


def beside_paper(sheet: Sheet, published: Published, parts: Sequence[Part], tables: Sequence[pd.DataFrame]) -> Sheet:
    """Return ``sheet`` with the paper's figures, and what agrees on each data set."""
    datasets = published.datasets_of([part.plan.context.get("dataset") for part in parts])
    notes = [
        f"{title}. {sentence}"
        for title, part, table in zip(column_titles(parts), parts, tables, strict=True)
        for sentence in published.agreement(table["accuracy"], published.shown(part.plan.context.get("dataset")))
    ]
    return published.joined(sheet, datasets, notes, aliases={"Teacher, real images": next(iter(published.teacher), "")})


def crossed_sheet(part: Part, *, selection: str = "last") -> Sheet:
    """Return a grid of rows named "A, B" with the As as rows and the Bs as columns, as the paper's Table 2 has it.

    The best and the second are marked in each row of students, among complete entries.

    Raises:
        ReportError: a row's name has no two parts.
    """
    check_columns(part.frame, plan=part.plan, stale=part.stale)
    table = ablation_table(part.frame, plan=part.plan, selection=selection)
    pairs = {row: row.partition(", ") for row in part.plan.rows}
    single = next((row for row, (_, comma, _) in pairs.items() if not comma), None)
    if single is not None:
        raise ReportError(f"Rows must be named 'A, B' to be crossed, but {part.plan.grid!r} has {single!r}.")
    down = list(dict.fromkeys(one for one, _, _ in pairs.values()))
    across = list(dict.fromkeys(other for _, _, other in pairs.values()))
    entries = _column(part, table, part.plan.rows)
    done = table["done"].str.split("/", expand=True)
    complete = table["accuracy"].where(done[0] == done[1])
    stale = any(entry.text.endswith(DAGGER) for entry in entries.values())
    lines = []
    for one in down:
        ranked = marks({other: float(complete.get(f"{one}, {other}", float("nan"))) for other in across})
        texts = [entries.get(f"{one}, {other}", Entry(MISSING)).text for other in across]
        cells = [Entry(text, ranked.get(other, "")) for text, other in zip(texts, across, strict=True)]
        lines.append((Entry(one), *cells))
    caption = (
        f"{part.plan.title}. {part.title}. Accuracy (%): mean {PLUS_MINUS} sd (n - 1) over seeds "
        f"{', '.join(map(str, part.plan.seeds))}; {SELECTIONS[selection]}. "
        "In each row, best {best}, second {second}."
        + (f" {DAGGER}: with runs by code that has changed since." if stale else "")
    )
    numbers = table["accuracy"].set_axis(pd.MultiIndex.from_tuples([(a, b) for a, _, b in pairs.values()])).unstack()
    numbers = numbers.reindex(index=down, columns=across).rename_axis("row")
    heads = (Column("Student"), *(Column(name) for name in across))
    return Sheet(f"{part.plan.grid}-paper", caption, heads, tuple(lines), numbers)
