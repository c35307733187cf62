"""One page about a grid: a single file of HTML with its figures, which asks for nothing from outside."""

import re
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import pandas as pd
from markupsafe import Markup, escape

from harness.records import Plan
from reports.comparison import in_words
from reports.cost import Networks, cost_table
from reports.errors import ReportError
from reports.formats import caption_text, html_table
from reports.frame import ENVIRONMENT, runs_frame
from reports.published import published
from reports.render import COLUMNS, ablation_sheet, setting
from reports.runs import final_heading, finished_runs
from reports.sheet import DAGGER, Column, Entry, Sheet, mean_and_sd, rounded, rounded_cost
from reports.sources import Source, open_source
from reports.table import SELECTIONS, ablation_table, ranked_accuracy, ranked_words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from reports.figures.pictures import Pictures

SECTIONS = {
    "summary": "Summary",
    "table": "Table",
    "statistics": "Statistics",
    "paper": "The paper",
    "figures": "Figures",
    "plan": "Plan",
    "runs": "Runs and cost",
    "reproduce": "Reproduce",
}


LOWEST_FIRST = {COLUMNS[name][0] for name in ("test", "more_seeds", "hours", "parameters", "flops")} | {
    *("Row", "Seed", "CPU minutes", "Minutes", "Cell", "Code")
}
"""Headings of the columns whose first click puts the lowest on top: costs, p, and what is no better or worse."""


def page(
    where: Source | Path | str,
    plan: Plan,
    *,
    selection: str = "last",
    stale: Collection[str] = (),
    networks: Networks | None = None,
    pictures: "Mapping[str, Pictures] | None" = None,
    arguments: Sequence[str] | None = (),
) -> str:
    """Return the page as HTML. ``arguments`` are those of the command line behind the grid's name, None if not known.

    ``pictures`` are by row.

    Raises:
        ReportError: runs that cannot stand in one table.
    """
    source = open_source(where)
    frame = runs_frame(source, plan)
    shared: dict[str, Any] = {"plan": plan, "selection": selection}
    known = ". ".join([plan.title, *setting(plan)]) + ". "
    columns = tuple(COLUMNS) if networks else tuple(name for name in COLUMNS if name not in ("parameters", "flops"))
    sheet = ablation_sheet(frame, columns=columns, stale=stale, networks=networks, **shared)
    paper = _paper(frame, plan, selection, stale)
    content = {
        "plan": plan,
        "setting": setting(plan),
        "sections": [(name, title) for name, title in SECTIONS.items() if name != "paper" or paper],
        "facts": _facts(frame, plan),
        "summary": _summary(frame, plan, selection, stale),
        "table": _table(sheet, "The table", known),
        "words": in_words(frame, **shared) or ["There is one row, and nothing to compare it with."],
        "paper": _table(paper, "The paper's figures beside ours", known) if paper else None,
        "figures": _figures(grid_figures(source, frame, plan, selection, networks, pictures or {})),
        "state": _state(frame, plan),
        "cost": _cost(frame, plan),
        "runs": _table(_runs_sheet(frame, stale), "Every finished run", ""),
        "machines": _machines(frame),
        "commands": [_command(verb, plan, arguments) for verb in ("plan", "ablate", "report")],
        "explaining": [_command("explain", plan, arguments, row) for row in plan.rows],
        "arguments_known": arguments is not None,
        "provenance": _provenance(frame, plan),
        "css": Markup(_asset("page.css")),
        "script": Markup(_asset("page.js")),
    }
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(_asset("page.html.jinja")).render(content)


def _command(verb: str, plan: Plan, arguments: Sequence[str] | None, *rows: str) -> str:
    return shlex.join(["dfkd", verb, plan.grid, *rows, *(["..."] if arguments is None else arguments)])


def _asset(name: str) -> str:
    return files("reports").joinpath(name).read_text(encoding="utf-8")


def _table(sheet: Sheet, label: str, known: str) -> Markup:
    """Return a table that scrolls by itself, with its caption above, without what the page's head says already."""
    text = caption_text(sheet, "html").removeprefix(known)
    body, _, notes = html_table(sheet, with_caption=False).partition("</table>\n")
    head, end, rest = body.replace("<table>", '<table class="sortable">', 1).partition("</thead>")
    for name in LOWEST_FIRST:
        head = head.replace(f">{escape(name)}</th>", f" data-first=ascending>{escape(name)}</th>")
    region = f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}">'
    return Markup(f'<p class="quiet">{escape(text)}</p>\n{region}\n{head}{end}{rest}</table>\n</div>\n{notes}')


def _facts(frame: pd.DataFrame, plan: Plan) -> list[tuple[str, str]]:
    done = int((frame["status"] == "done").sum())
    ended = [(int((frame["status"] == status).sum()), status) for status in ("failed", "diverged")]
    accuracy = plan.context.get("teacher_accuracy")
    cost = cost_table(frame, plan=plan, networks={})
    facts = [
        (
            "runs done",
            f"{done} of {len(plan.cells)}" + "".join(f", {number} {status}" for number, status in ended if number),
        ),
        ("rows", str(len(plan.rows))),
        ("seeds", ", ".join(map(str, plan.seeds))),
        ("teacher", f"{100 * accuracy:.2f} %" if accuracy is not None else "not known"),
        (f"{cost.attrs['unit']} hours", rounded_cost(_hours(frame, cost.attrs["unit"]))),
    ]
    return facts


def _hours(frame: pd.DataFrame, unit: str) -> float:
    """Return the training hours of the distinct finished cells."""
    distinct = frame[frame["status"] == "done"].drop_duplicates("cell")
    return float(distinct["seconds" if unit == "GPU" else "cpu_seconds"].sum()) / 3600


def _summary(frame: pd.DataFrame, plan: Plan, selection: str, stale: Collection[str]) -> list[str]:
    table = ablation_table(frame, plan=plan, selection=selection)
    complete = pd.Series(ranked_accuracy(table, frame)).dropna().sort_values(ascending=False)
    sentences = []
    if len(complete) > 1:
        best, second = complete.index[:2]
        sentences.append(
            f"Among {ranked_words(frame)} the highest mean is that of {best}: {complete.iloc[0]:.2f} %; then {second}: "
            f"{complete.iloc[1]:.2f} %. Whether that is more than the seeds' spread, the statistics below say."
        )
    # What has diverged has ended: as in the table's caption, it is not missing.
    diverged = int((frame["status"] == "diverged").sum())
    missing = len(plan.cells) - diverged - int((frame["status"] == "done").sum())
    counts = {"are missing": missing, "diverged, so that they have no accuracy": diverged}
    without = [f"{number} of {len(plan.cells)} planned runs {state}" for state, number in counts.items() if number]
    if without:
        sentences.append(f"{'; '.join(without)}. Rows without all of theirs are not ranked.")
    number = int((frame["cell"].isin(list(stale)) & (frame["status"] == "done")).sum())
    if number:
        sentences.append(f"{number} runs were trained by code that has changed since; their rows carry {DAGGER}.")
    sentences.append(f"Numbers are {SELECTIONS[selection]}.")
    return sentences


def _paper(frame: pd.DataFrame, plan: Plan, selection: str, stale: Collection[str]) -> Sheet | None:
    try:
        theirs = published(plan.grid)
    except ReportError:  # the paper has no table of this grid
        return None
    return ablation_sheet(frame, plan=plan, selection=selection, stale=stale, columns=("accuracy",), published=theirs)


def grid_figures(
    source: Source,
    frame: pd.DataFrame,
    plan: Plan,
    selection: str,
    networks: Networks | None,
    pictures: "Mapping[str, Pictures]",
) -> "list[tuple[str, str, Figure]]":
    """Return what can be drawn of this grid, in order: each figure's name, caption and drawing."""
    from reports.figures import (
        cost_front,
        image_rows,
        interaction_map,
        order_comparison,
        response_curve,
        row_plot,
        training_curves,
    )

    shared: dict[str, Any] = {"plan": plan, "selection": selection}
    drawn: dict[str, tuple[str, Callable[[], Figure]]] = {
        "rows": (
            "Every seed of every row; the bar is the mean, the line its 95 % interval from three seeds on.",
            lambda: row_plot(frame, **shared),
        ),
        "curves": (
            "Test accuracy over the epochs: mean over seeds, band from the lowest to the highest.",
            lambda: training_curves(source.logs(plan.ids), plan=plan),
        ),
        "response": (
            "Response to the field that the rows vary, as in the paper's Figure 7.",
            lambda: response_curve(frame, **shared),
        ),
        "orders": (
            "The orders of the attention: a thin line is a seed, the square the mean over seeds.",
            lambda: order_comparison(frame, **shared),
        ),
        "interaction": ("How two fields act together.", lambda: interaction_map(frame, **shared)),
        "cost": ("Accuracy against cost.", lambda: cost_front(frame, networks=networks, **shared)),
        "samples": ("Images, as in the paper's Figure 4.", lambda: image_rows(pictures)),
    }
    found = []
    for name, (caption, draw) in drawn.items():
        try:
            found.append((name, caption, draw()))
        except ReportError:  # this grid has no such figure
            continue
    return found


def _figures(drawn: "list[tuple[str, str, Figure]]") -> list[dict[str, Any]]:
    """Return the figures for the page."""
    return [
        {"caption": caption, "image": Markup(inline_svg(figure, f"{name}-", caption))}
        for name, caption, figure in drawn
    ]


def inline_svg(figure: "Figure", prefix: str, label: str) -> str:
    """Return the figure as an SVG element whose ids begin with ``prefix``, so that several can stand in one page."""
    from reports.figures import to_bytes  # here, because matplotlib takes a second to import

    text = to_bytes(figure, "svg").decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{prefix}', text)
    text = re.sub(r'(xlink:href="|url\()#', rf"\1#{prefix}", text)
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1)


def _state(frame: pd.DataFrame, plan: Plan) -> list[tuple[str, list[tuple[str, str]]]]:
    rows = []
    for row in plan.rows:
        runs = frame[frame["row"] == row].set_index("seed").reindex(list(plan.seeds))
        states = []
        for status, epochs, error in zip(runs["status"], runs["epochs"], runs["error"], strict=True):
            text = f"at epoch {epochs}" if status == "todo" and epochs else str(status).replace("todo", "to do")
            states.append((str(status), f"{text}: {error}" if error else text))
        rows.append((row, states))
    return rows


def _cost(frame: pd.DataFrame, plan: Plan) -> str:
    distinct = frame[frame["status"] == "done"].drop_duplicates("cell")
    unit = cost_table(frame, plan=plan, networks={}).attrs["unit"]
    hours = f"{rounded_cost(_hours(frame, unit))} {unit} hours of training"
    return f"{len(distinct)} distinct finished runs, {hours}; evaluations come on top."


def _runs_sheet(frame: pd.DataFrame, stale: Collection[str]) -> Sheet:
    runs = finished_runs(frame)
    names = (
        "Row",
        "Seed",
        "Last epoch (%)",
        final_heading(runs["final_epochs"]),
        "Best epoch on test, oracle (%)",
        "CPU minutes",
        "Minutes",
        "Cell",
        "Code",
    )
    columns = tuple(Column(name, number=1 <= i <= 6) for i, name in enumerate(names))
    lines = []
    for run in runs.to_dict("records"):
        code = run["trainer"]
        final = mean_and_sd(run["final_mean"], run["final_sd"])
        numbers = (run["best_on_test"], run["cpu_minutes"], run["minutes"])
        texts = [run["row"], str(run["seed"]), rounded(run["last"]), final, *map(rounded, numbers)]
        lines.append(
            (*map(Entry, texts), Entry(run["cell"]), Entry(f"{code} {DAGGER}" if run["cell"] in stale else code))
        )
    return Sheet("runs", "Every finished run.", columns, tuple(lines), pd.DataFrame())


def _machines(frame: pd.DataFrame) -> list[str]:
    distinct = frame[frame["status"] == "done"].drop_duplicates("cell")
    counted = distinct.groupby(list(ENVIRONMENT), sort=False).size()
    return [
        f"{count} runs on: "
        + ", ".join(f"{name} {value}" for name, value in zip(ENVIRONMENT, values, strict=True) if value)
        + "."
        for values, count in counted.items()
        if isinstance(values, tuple)
    ]


def _provenance(frame: pd.DataFrame, plan: Plan) -> str:
    done = frame[frame["status"] == "done"]
    parts = [f"plan {plan.key}"]
    for name, words in {"teacher_hash": "teacher", "test_fingerprint": "test images", "numerics": "NUMERICS"}.items():
        values = sorted({str(value)[:16] for value in done[name].dropna()})
        if values:
            parts.append(f"{words} {', '.join(values)}")
    code = sorted({each[:8] for used in done["trainer"] for each in used.split("+")})
    return "; ".join([*parts, f"code {', '.join(code)}"] if code else parts) + "."
