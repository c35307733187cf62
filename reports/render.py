"""The ablation table as text. Numbers are rounded here and nowhere else."""

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from io import StringIO
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.records import Plan
from reports.table import SELECTIONS, ablation_table, accuracy_by_seed

FORMATS = ("terminal", "markdown", "latex", "csv")
"""What ``render`` can write."""

HEADER = ("Row", "Accuracy (%)", "Difference (points)", "Runs")
MISSING = "--"
PLUS_MINUS = "\u00b1"
DAGGER = "\u2020"
"""Marks what was trained by code that has changed since."""
WIDTH = 100
"""Of the terminal's table and caption, in characters."""

PLAIN_MARKS = {"best": " *", "second": " _", "": ""}
STYLES = {"best": "bold", "second": "underline", "": ""}

MARKDOWN_ESCAPES = str.maketrans({character: f"\\{character}" for character in "\\`*_[]<>|~$&"})
LATEX_ESCAPES = str.maketrans(
    {
        **{character: f"\\{character}" for character in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": "$<$",
        ">": "$>$",
        "|": "$|$",
        PLUS_MINUS: r"$\pm$",
        DAGGER: r"$^\dagger$",
        # At the start of a line, the `\\` of the line before would take these two as its own.
        "[": "{[}",
        "*": "{*}",
    }
)


@dataclass(frozen=True)
class _Line:
    """One line of the table, rounded."""

    row: str
    """With a dagger if one of its runs is stale."""
    mean: str
    """Empty if missing."""
    sd: str
    """Empty if missing."""
    mark: str
    """``best``, ``second`` or empty."""
    difference: str
    """Signed; empty in the reference's own line."""
    done: str
    """As "done/planned"."""

    def accuracy(self, plus_minus: str = PLUS_MINUS) -> str:
        """Return the mean with its sd."""
        return f"{self.mean} {plus_minus} {self.sd}" if self.sd else self.mean or MISSING


def _rounded(value: float, spec: str = ".2f") -> str:
    """Return ``value`` with two decimals, empty if NaN; what rounds to zero has no minus sign."""
    return "" if math.isnan(value) else format(round(value, 2) + 0.0, spec)


def _marks(table: pd.DataFrame) -> dict[str, str]:
    """Return the mark of each row that has one; means that look the same share it."""
    done = table["done"].str.split("/", expand=True)
    complete = table.loc[done[0] == done[1], "accuracy"]
    if len(complete) < 2:
        return {}
    shown = {str(row): float(_rounded(accuracy)) for row, accuracy in complete.items()}
    marks = dict(zip(sorted(set(shown.values()), reverse=True), ("best", "second"), strict=False))
    return {row: marks[accuracy] for row, accuracy in shown.items() if accuracy in marks}


def _stale_runs(frame: pd.DataFrame, stale: Collection[str]) -> "pd.Series[bool]":
    """Return of each run whether it is one of the ``stale`` cells and counts."""
    return (frame["status"] == "done") & frame["cell"].isin(list(stale))


def _lines(table: pd.DataFrame, *, plan: Plan, stale: Collection[str]) -> list[_Line]:
    """Return the table's lines as they are shown; ``stale`` are names of rows."""
    marks = _marks(table)
    return [
        _Line(
            row=f"{row} {DAGGER}" if row in stale else row,
            mean=_rounded(accuracy),
            sd=_rounded(sd),
            mark=marks.get(row, ""),
            difference="" if row == plan.reference else _rounded(difference, "+.2f") or MISSING,
            done=done,
        )
        for row, accuracy, sd, difference, done in table.itertuples(name=None)
    ]


def _setting(plan: Plan) -> list[str]:
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
) -> str:
    """Return what one must know to read the table, as plain text; ``best`` and ``second`` name the two marks.

    ``stale`` are the cells that were trained by code that has changed since.
    """
    seeds = ", ".join(str(seed) for seed in plan.seeds)
    over = f"mean {PLUS_MINUS} sd (n - 1) over seeds {seeds}" if len(plan.seeds) > 1 else f"seed {seeds} alone"
    sentences = [
        plan.title,
        *_setting(plan),
        f"Accuracy: {over}; {SELECTIONS[selection]}",
        f"Difference: from {plan.reference}, paired by seed",
        f"Among complete rows, best {best}, second {second}",
    ]
    done, failed = ((frame["status"] == status).sum() for status in ("done", "failed"))
    diverged = frame[frame["status"] == "diverged"]
    missing = len(plan.cells) - done - len(diverged)
    if missing:
        sentences.append(f"{missing} of {len(plan.cells)} runs missing ({failed} failed)")
    if len(diverged):
        named = "; ".join(f"{row}, seed {seed}" for row, seed in zip(diverged["row"], diverged["seed"], strict=True))
        sentences.append(f"{len(diverged)} of {len(plan.cells)} runs diverged, so that they have no accuracy: {named}")
    if number := _stale_runs(frame, stale).sum():
        sentences.append(f"{DAGGER}: {number} of {done} runs stale, trained by code that has changed since")
    return ". ".join(sentences) + "."


def _terminal(lines: list[_Line], text: str, *, color: bool) -> str:
    """Return the table with its caption above; ANSI sequences only if ``color``."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name, justify in zip(HEADER, ("left", "left", "right", "right"), strict=True):
        table.add_column(name, justify=justify, no_wrap=name != "Row", overflow="fold")  # type: ignore[arg-type]
    for line in lines:
        style, mark = (STYLES[line.mark], "") if color else ("", PLAIN_MARKS[line.mark])
        # `Text`, since a plain string would be searched for rich's own markup.
        table.add_row(Text(line.row), Text(line.accuracy() + mark, style), line.difference, line.done)
    output = StringIO()
    console = Console(
        file=output, width=WIDTH, force_terminal=color, force_jupyter=False, color_system="standard" if color else None
    )
    console.print(Text(text + "\n"), table, sep="\n")
    return "\n".join(part.rstrip() for part in output.getvalue().strip().splitlines()) + "\n"


def _markdown(lines: list[_Line], text: str) -> str:
    """Return the caption as a paragraph, then a pipe table."""
    wrap = {"best": "**{}**", "second": "<u>{}</u>", "": "{}"}
    body = pd.DataFrame(
        [
            (
                line.row.translate(MARKDOWN_ESCAPES),
                wrap[line.mark].format(line.accuracy()),
                line.difference,
                line.done,
            )
            for line in lines
        ],
        columns=list(HEADER),
    )
    # Left to itself, tabulate reads "+1.50" as a number and writes 1.5.
    pipes = body.to_markdown(index=False, disable_numparse=True, colalign=("left", "left", "right", "right"))
    return f"{text.translate(MARKDOWN_ESCAPES)}\n\n{pipes}\n"


def _latex(lines: list[_Line], text: str, *, grid: str) -> str:
    """Return a floating table that needs booktabs and nothing else."""
    wrap = {"best": r"\textbf{%s}", "second": r"\underline{%s}", "": "%s"}
    body = pd.DataFrame(
        [
            (
                line.row.translate(LATEX_ESCAPES),
                wrap[line.mark] % line.accuracy(r"$\pm$"),
                f"${line.difference}$" if line.difference not in ("", MISSING) else line.difference,
                line.done,
            )
            for line in lines
        ],
        columns=[name.translate(LATEX_ESCAPES) for name in HEADER],
    )
    table = body.style.hide(axis="index").to_latex(
        hrules=True,
        environment="table",
        position="t",
        position_float="centering",
        column_format="llrr",
        caption=text.translate(LATEX_ESCAPES),
        label="tab:" + re.sub(r"[^A-Za-z0-9:._-]", "-", grid),
    )
    return "% Needs \\usepackage{booktabs} in the preamble.\n" + table


def _csv(table: pd.DataFrame, accuracy: pd.DataFrame, stale: "pd.Series[Any]") -> str:
    """Return the table for machines, with ``accuracy``'s seeds as further columns: percent and points, six decimals.

    ``stale`` are numbers of runs, by row.
    """
    numbers = table[["accuracy", "sd", "difference"]].assign(done=accuracy.count(), planned=len(accuracy), stale=stale)
    seeds = accuracy.T.add_prefix("seed_")
    # Adding zero takes the sign off -0.0.
    return (numbers.join(seeds).round(6) + 0).to_csv(float_format="%.6f", na_rep="", lineterminator="\n")


def render(
    table: pd.DataFrame,
    *,
    plan: Plan,
    frame: pd.DataFrame,
    selection: str,
    format: str,
    color: bool = False,
    stale: Collection[str] = (),
) -> str:
    """Return the table of ``ablation_table`` as text that ends with a newline.

    Best and second accuracy are marked among rows whose planned runs are all done, if there are two such rows. The
    terminal's marks are characters, or ANSI bold and underline if ``color``, which other formats ignore. CSV has no
    caption and no marks, and is the same to the byte for equal results. A row with a run among the cells ``stale``,
    trained by code that has changed since, has a dagger, which the caption explains; in CSV, their number.

    Raises:
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
    by_row = _stale_runs(frame, stale).groupby(frame["row"]).sum().reindex(list(plan.rows), fill_value=0)
    if format == "csv":
        return _csv(table, accuracy_by_seed(frame, plan=plan, selection=selection), by_row)
    lines = _lines(table, plan=plan, stale=set(by_row.index[by_row > 0]))
    if format == "markdown":
        return _markdown(lines, caption(plan, frame, selection, stale=stale))
    if format == "latex":
        return _latex(lines, caption(plan, frame, selection, stale=stale), grid=plan.grid)
    marks = {} if color else {"best": "marked *", "second": "marked _"}
    return _terminal(lines, caption(plan, frame, selection, stale=stale, **marks), color=color)
