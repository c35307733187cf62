"""The ablation table of a grid: its caption, columns and marks. Numbers are rounded here and in ``sheet`` alone."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from harness.records import Plan
from reports.checks import check_columns
from reports.comparison import comparison, seeds_to_add
from reports.cost import Networks, cost_table
from reports.formats import FORMATS, write
from reports.published import Published
from reports.sheet import DAGGER, MISSING, PLUS_MINUS, Column, Entry, Sheet, marks, mean_and_sd, rounded, rounded_cost
from reports.table import SELECTIONS, ablation_table, accuracy_by_seed, ranked_accuracy, ranked_words, real_rows

COLUMNS: dict[str, tuple[str, bool]] = {
    "accuracy": ("Accuracy (%)", False),
    "interval": ("95 % interval", False),
    "difference": ("Difference (points)", True),
    "difference_interval": ("95 % interval of the difference", False),
    "test": ("Sign-flip test (Holm)", False),
    "more_seeds": ("More seeds", True),
    "runs": ("Runs", True),
    "hours": ("Hours a run", True),
    "parameters": ("Parameters (M)", True),
    "flops": ("GFLOPs", True),
}
"""Columns of the table by the names under which they are asked for; their headings, and whether they hold numbers."""
DEFAULT_COLUMNS = ("accuracy", "difference", "runs")


def stale_runs(frame: pd.DataFrame, stale: Collection[str]) -> "pd.Series[bool]":
    """Return of each run whether it is one of the ``stale`` cells and counts."""
    return (frame["status"] == "done") & frame["cell"].isin(list(stale))


def setting(plan: Plan) -> list[str]:
    """Return what all runs share, as sentences without their full stops; what the plan does not say is left out."""
    context = plan.context
    accuracy, size = context.get("teacher_accuracy"), context.get("image_size")
    settings = context.get("settings") or {}
    data = [
        str(context.get("dataset") or ""),
        f"{context['classes']} classes" if context.get("classes") else "",
        f"{size} x {size} pixels" if size else "",
    ]
    about = [
        f"{100 * accuracy:.2f}%" if accuracy is not None else "",
        f"imported from {context['teacher_origin']}" if context.get("teacher_origin") else "",
    ]
    known = ", ".join(filter(None, about))
    models = [
        f"teacher {context['teacher']}" + (f" ({known})" if known else "") if context.get("teacher") else "",
        f"student {context['student']}" if context.get("student") else "",
    ]
    length = [
        f"budget {context['budget']}" if context.get("budget") else "",
        f"{context['epochs']} epochs" if context.get("epochs") else "",
        f"data-free rows matched at {context['matched_passes']:,} passes of teacher and student"
        if context.get("matched_passes")
        else "",
    ]
    given = [f"{key} = {value}" for key, value in settings.items()] if isinstance(settings, Mapping) else settings
    sentences = [("Data", data), ("Models", models), ("Training", length), ("Settings", given)]
    return [f"{name}: {', '.join(filter(None, parts))}" for name, parts in sentences if any(parts)]


def caption(
    plan: Plan,
    frame: pd.DataFrame,
    selection: str,
    *,
    best: str = "bold",
    second: str = "underlined",
    stale: Collection[str] = (),
    more: Sequence[str] = (),
) -> str:
    """Return what one must know to read the table, as plain text; ``best`` and ``second`` name the two marks.

    ``stale`` are the cells that were trained by code that has changed since; ``more`` explains further columns.
    """
    seeds = ", ".join(str(seed) for seed in plan.seeds)
    over = f"mean {PLUS_MINUS} sd (n - 1) over seeds {seeds}" if len(plan.seeds) > 1 else f"seed {seeds} alone"
    sentences = [
        plan.title,
        *setting(plan),
        f"Accuracy: {over}; {SELECTIONS[selection]}",
        f"Difference: from {plan.reference}, paired by seed",
        *more,
        f"Among {ranked_words(frame)}, best {best}, second {second}",
    ]
    done, failed = ((frame["status"] == status).sum() for status in ("done", "failed"))
    diverged = frame[frame["status"] == "diverged"]
    missing = len(plan.cells) - done - len(diverged)
    if missing:
        sentences.append(f"{missing} of {len(plan.cells)} runs missing ({failed} failed)")
    if lacking := int(frame.loc[frame["status"] == "done", selection].isna().sum()):
        sentences.append(f"{lacking} of {done} finished runs have not recorded this accuracy")
    if len(diverged):
        named = "; ".join(f"{row}, seed {seed}" for row, seed in zip(diverged["row"], diverged["seed"], strict=True))
        sentences.append(f"{len(diverged)} of {len(plan.cells)} runs diverged, so that they have no accuracy: {named}")
    if number := stale_runs(frame, stale).sum():
        sentences.append(f"{DAGGER}: {number} of {done} runs stale, trained by code that has changed since")
    return ". ".join(sentences) + "."


EXPLAINED = {
    "interval": "95 % intervals: BCa bootstrap over seeds, too narrow where they are few",
    "test": "Test: exact sign flips of paired differences, Holm's correction",
    "more_seeds": "More seeds: what a difference like the one seen takes to be found in 4 of 5 cases",
    "parameters": "Parameters and GFLOPs: of the student, for one image",
}


def _interval(low: float, high: float, spec: str = ".2f") -> str:
    return f"{rounded(low, spec)} to {rounded(high, spec)}" if rounded(low) else MISSING


def _entries(
    table: Any, compared: Any, cost: Any, plan: Plan, frame: pd.DataFrame
) -> dict[str, Callable[[str], Entry]]:
    """Return, by the names of ``COLUMNS``, what makes a row's entry out of three frames with a line per row."""
    ranked = marks(ranked_accuracy(table, frame))
    # A value by row from a dict: from a frame each takes a tenth of a millisecond.
    shown, costs = table.to_dict(), cost.to_dict()
    cheapest = {name: _cheapest(cost[name].drop(list(real_rows(frame)))) for name in ("hours", "parameters", "flops")}

    def accuracy(row: str) -> Entry:
        return Entry(mean_and_sd(shown["accuracy"][row], shown["sd"][row]), ranked.get(row, ""))

    def difference(row: str) -> Entry:
        return Entry("" if row == plan.reference else rounded(shown["difference"][row], "+.2f") or MISSING)

    def spread(low: str, high: str, spec: str) -> Callable[[str], Entry]:
        def entry(row: str) -> Entry:
            of_reference = row == plan.reference and low == "difference_low"
            return Entry("" if of_reference else _interval(compared.at[row, low], compared.at[row, high], spec))

        return entry

    def more_seeds(row: str) -> Entry:
        return Entry("") if row == plan.reference else seeds_to_add(compared.loc[row])

    def price(name: str) -> Callable[[str], Entry]:
        return lambda row: Entry(rounded_cost(costs[name][row]) or MISSING, cheapest[name].get(row, ""))

    return {
        "accuracy": accuracy,
        "interval": spread("low", "high", ".2f"),
        "difference": difference,
        "difference_interval": spread("difference_low", "difference_high", "+.2f"),
        "test": lambda row: Entry(str(compared.at[row, "verdict"]), sorts_by=_known(compared.at[row, "p_holm"])),
        "more_seeds": more_seeds,
        "runs": lambda row: Entry(str(shown["done"][row])),
        **{name: price(name) for name in cheapest},
    }


def _known(value: float) -> float | None:
    return None if pd.isna(value) else float(value)


def _cheapest(values: "pd.Series[Any]") -> dict[str, str]:
    """Return the marks of the lowest values; none where all are the same."""
    named = {str(row): float(value) for row, value in values.items()}
    found = marks(named, highest=False, shown_as=rounded_cost)
    return found if len(set(found.values())) > 1 else {}


def ablation_sheet(
    frame: pd.DataFrame,
    *,
    plan: Plan,
    selection: str = "last",
    columns: Sequence[str] = DEFAULT_COLUMNS,
    stale: Collection[str] = (),
    networks: Networks | None = None,
    published: Published | None = None,
) -> Sheet:
    """Return the table of a grid, from the lines of ``runs_frame``; ``columns`` are names of ``COLUMNS``.

    Best and second are marked in each column that has a direction: accuracy among rows whose planned runs are all
    done, costs where they differ; beside data-free rows those of real images are upper bounds and not ranked. A row
    with a run among the cells ``stale``, trained by code that has changed since, has a dagger; in CSV, their number.
    ``networks`` says what students cost, ``published`` has a paper's figures.

    Raises:
        ReportError: the runs of a row or of the table differ in what they must share.
        ValueError: an unknown column or selection, or a frame that is not of this plan.
    """
    unknown = [name for name in columns if name not in COLUMNS]
    if unknown:
        raise ValueError(f"The columns must be among {list(COLUMNS)}, but {unknown[0]!r} is not.")
    check_columns(frame, plan=plan, stale=stale)
    table = ablation_table(frame, plan=plan, selection=selection)
    needs_statistics = {"interval", "difference_interval", "test", "more_seeds"} & {*columns}
    compared = comparison(frame, plan=plan, selection=selection) if needs_statistics else pd.DataFrame()
    cost = cost_table(frame, plan=plan, networks=networks or {})
    counted = stale_runs(frame, stale).groupby(frame["row"]).sum().reindex(list(plan.rows), fill_value=0)
    entries = _entries(table, compared, cost, plan, frame)
    names = {
        row: Entry(f"{row} {DAGGER}" if number else row)
        for row, number in zip(plan.rows, counted.tolist(), strict=True)
    }
    lines = tuple((names[row], *(entries[name](row) for name in columns)) for row in plan.rows)
    heads = (Column("Row"), *(Column(*COLUMNS[name]) for name in columns))
    units = {"hours": f"Hours: {cost.attrs['unit']} hours of training, the mean of a row's runs"}
    more = [text for name, text in (EXPLAINED | units).items() if name in columns]
    numbers = _numbers(table, compared, cost, columns).join(
        accuracy_by_seed(frame, plan=plan, selection=selection).T.add_prefix("seed_")
    )
    numbers.insert(list(numbers).index("planned") + 1, "stale", counted)
    text = caption(plan, frame, selection, best="{best}", second="{second}", stale=stale, more=more)
    sheet = Sheet(plan.grid, text, heads, lines, numbers)
    return published.beside(sheet, plan=plan, accuracy=table["accuracy"]) if published else sheet


def _numbers(table: pd.DataFrame, compared: pd.DataFrame, cost: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return what CSV and Excel hold besides the seeds: the means always, the rest where it is asked for."""
    done = table["done"].str.split("/", expand=True).astype(int)
    numbers = table[["accuracy", "sd", "difference"]].assign(done=done[0], planned=done[1])
    asked = {
        "interval": ["low", "high"],
        "difference_interval": ["difference_low", "difference_high"],
        "test": ["pairs", "p", "p_holm", "detectable", "seeds_needed"],
        "more_seeds": ["pairs", "detectable", "seeds_needed"],
    }
    found = dict.fromkeys(each for name, each_of in asked.items() if name in columns for each in each_of)
    numbers = numbers.join(compared[list(found)]) if found else numbers
    return numbers.join(cost[[name for name in cost if name in columns]])


def render(
    table: pd.DataFrame,
    *,
    plan: Plan,
    frame: pd.DataFrame,
    selection: str,
    format: str,
    color: bool = False,
    stale: Collection[str] = (),
    columns: Sequence[str] = DEFAULT_COLUMNS,
) -> str | bytes:
    """Return the table of ``ablation_table`` in one of ``FORMATS``: ``ablation_sheet``, written.

    Raises:
        ReportError: the runs of a row or of the table differ in what they must share.
        ValueError: an unknown format or selection, or a table that is not of this plan, frame and selection.
    """
    if format not in FORMATS:
        raise ValueError(f"The format must be one of {list(FORMATS)}, but it is {format!r}.")
    # The caption speaks of the plan, the frame and the selection; it must not stand above other numbers.
    if not table.equals(ablation_table(frame, plan=plan, selection=selection)):
        raise ValueError(
            f"The table must be that of the given plan, frame and selection ({selection!r}), but its numbers differ. "
            "Build it with ablation_table from the same three."
        )
    sheet = ablation_sheet(frame, plan=plan, selection=selection, columns=columns, stale=stale)
    return write(sheet, format, color=color)
