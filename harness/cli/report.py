"""``dfkd report``: the table of a grid, or one page of all there is about it."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dfkd.errors import ConfigError, nearest
from harness.cli.options import (
    DEFAULT_DATASET,
    DEFAULT_SEEDS,
    DEFAULT_STORE,
    BudgetOption,
    DataRootOption,
    DatasetOption,
    GridArgument,
    MatchOption,
    SeedsOption,
    SetOption,
    StoreOption,
    TeacherOption,
    guarded,
    request_of,
)
from harness.cli.reporting import (
    all_pictures,
    marked_stale,
    network_costs,
    plan_of,
    refusals,
    students_of,
    write_file,
)
from harness.cli.reproduction import given_arguments
from harness.store import known_store


class Format(StrEnum):
    """Names of the formats."""

    terminal = "terminal"
    markdown = "markdown"
    latex = "latex"
    html = "html"
    csv = "csv"
    excel = "excel"


class Selection(StrEnum):
    """Names of the rules by which a run's accuracy is chosen."""

    last = "last"
    final_mean = "final_mean"
    best_on_test = "best_on_test"


class Beside(StrEnum):
    """Whose figures stand beside ours."""

    paper = "paper"


SelectionOption = Annotated[Selection, typer.Option("--selection", help="Which epoch counts.")]
ColumnsOption = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="all|NAME,...",
        help="accuracy, interval, difference, difference_interval, test, runs, hours, parameters, flops; "
        "by default accuracy,difference,runs.",
    ),
]


@guarded
def report(
    grid: GridArgument,
    dataset: DatasetOption = DEFAULT_DATASET,
    data_root: DataRootOption = None,
    budget: BudgetOption = None,
    seeds: SeedsOption = DEFAULT_SEEDS,
    settings: SetOption = None,
    match_budget: MatchOption = False,
    store: StoreOption = DEFAULT_STORE,
    teacher: TeacherOption = None,
    output_format: Annotated[
        Format, typer.Option("--format", help="How the table is written; html is a page with everything.")
    ] = Format.terminal,
    selection: SelectionOption = Selection.last,
    columns: ColumnsOption = None,
    beside: Annotated[
        Beside | None, typer.Option("--beside", help="Set the paper's published figures next to ours.")
    ] = None,
    runs: Annotated[
        bool, typer.Option("--runs", help="A line per run instead, in Markdown: accuracy, cost, machine, cell.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write to a file instead of the screen.")
    ] = None,
) -> int:
    """Print the table of a grid: planned rows, mean and sd over seeds, differences paired by seed."""
    from reports import ablation_sheet, page, published, render_runs, runs_frame, runs_table, write

    names = parse_columns(columns)
    if output_format == Format.excel and out is None:
        raise ConfigError("`--format excel` must be given a file, but there is no `--out`. Add `--out FILE.xlsx`.")
    request = request_of(grid, dataset, budget, seeds, settings, match_budget=match_budget)
    opened = known_store(store)
    plan = plan_of(request, opened, data_root=data_root, teacher=teacher)
    stale = marked_stale(plan, opened)
    with refusals():
        theirs = published(plan.grid) if beside else None
        if runs:
            content: str | bytes = render_runs(runs_table(opened.root, plan), planned=len(plan.cells), stale=stale)
        elif output_format == Format.html:
            content = page(
                opened.root,
                plan,
                selection=selection,
                stale=stale,
                networks=network_costs(students_of(runs_frame(opened.root, plan), plan), plan),
                pictures=all_pictures(plan, opened, request=request, data_root=data_root),
                arguments=given_arguments(
                    dataset, budget, seeds, settings, data_root, store, match_budget=match_budget
                ),
            )
        else:
            frame = runs_frame(opened.root, plan)
            sheet = ablation_sheet(
                frame,
                plan=plan,
                selection=selection,
                columns=names,
                stale=stale,
                networks=network_costs(students_of(frame, plan), plan) if {"parameters", "flops"} & {*names} else None,
                published=theirs,
            )
            content = write(sheet, output_format, color=out is None and sys.stdout.isatty())
    if out is None:
        print(str(content).rstrip("\n"))
    else:
        write_file(out, content)
    return 0


def parse_columns(text: str | None) -> tuple[str, ...]:
    """Return the columns of ``accuracy,runs``; raise ConfigError for an unknown one."""
    from reports import COLUMNS, DEFAULT_COLUMNS

    if text is None:
        return DEFAULT_COLUMNS
    if text == "all":
        return tuple(COLUMNS)
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in COLUMNS:
            raise ConfigError(f"`--columns` must be known names, but {name!r} is none. {nearest(name, COLUMNS)}")
    return names
