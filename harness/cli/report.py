"""``dfkd report``: the table of a grid, or one page of all there is about it."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    errors,
    guarded,
    only_looks,
    request_of,
)
from harness.cli.reporting import (
    all_pictures,
    marked_stale,
    marked_stale_in,
    named_columns,
    network_costs,
    plan_of,
    refusals,
    stored_plan_in,
    write_file,
)
from harness.cli.reproduction import given_arguments, stored_arguments
from harness.plan import Column, Request
from harness.records import Plan, read_plans
from harness.store import Snapshot, Store, known_store

if TYPE_CHECKING:
    from reports.figures.pictures import Pictures
    from reports.published import Published
    from reports.sheet import Sheet
    from reports.sources import Source


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
        help="accuracy, interval, difference, difference_interval, test, more_seeds, runs, hours, parameters, flops; "
        "by default accuracy,difference,runs.",
    ),
]


@guarded
@only_looks
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
    tracking_uri: Annotated[
        str | None,
        typer.Option("--tracking-uri", metavar="URI", help="Read plan and runs from MLflow there, without a store."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write to a file instead of the screen.")
    ] = None,
) -> int:
    """Print the table of a grid: planned rows, mean and sd over seeds, differences paired by seed."""
    from reports import published, render_runs, runs_table, write
    from reports.sources import StoreSource, open_source

    names = parse_columns(columns)
    if output_format == Format.excel and out is None:
        raise ConfigError("`--format excel` must be given a file, but there is no `--out`. Add `--out FILE.xlsx`.")
    request = request_of(grid, dataset, budget, seeds, settings, match_budget=match_budget)
    arguments = given_arguments(dataset, budget, seeds, settings, data_root, store, match_budget=match_budget)
    with refusals():
        if tracking_uri is None:
            opened = Snapshot(known_store(store).root)
            plan = plan_of(request, opened, data_root=data_root, teacher=teacher)
            stale = marked_stale(plan, opened, opened.files)
            _say_others(plan, opened)
            shared = Asked(opened, StoreSource(opened.root, opened.files), plan, selection, stale, arguments)
        else:
            source = open_source(tracking_uri)
            plan = stored_plan_in(source, request, teacher)
            stale = marked_stale_in(plan, source)
            shared = Asked(None, source, plan, selection, stale, None)
        theirs = published(plan.grid) if beside else None
        if runs:
            content: str | bytes = render_runs(runs_table(shared.source, plan), planned=len(plan.cells), stale=stale)
        elif output_format == Format.html:
            pages = _pages(shared, request, data_root)
            if len(pages) > 1:
                return _write_pages(pages, out)
            (content,) = pages.values()
        else:
            wanted = None if columns is None and len(request.columns) > 1 else names
            sheet = _sheet(shared, wanted, theirs)
            content = write(sheet, output_format, color=out is None and sys.stdout.isatty())
    if out is None:
        print(str(content).rstrip("\n"))
    else:
        write_file(out, content)
    return 0


def _say_others(plan: Plan, store: Store) -> None:
    """Name the store's other plans of the grid, with the options that mean them, where nothing of this one is done; or
    say that there is no store."""
    if not store.root.is_dir():
        errors.print(f"Nothing is done: there is no store at {store.root}.", markup=False)
        return
    if any(store.read(cell_id).ended for cell_id in plan.ids):
        return
    others = [other for other in read_plans(store.root) if other.grid == plan.grid and other.key != plan.key]
    if others:
        errors.print(f"Nothing of this plan is done. Other plans of {plan.grid!r} in {store.root}:", markup=False)
    for other in others:
        options = stored_arguments(other, store.root)
        about = f"{other.context.get('dataset')}, budget {other.context.get('budget')}"
        errors.print(f"  {about}: {shlex.join(options)}" if options else f"  {about}, key {other.key}", markup=False)


@dataclass(frozen=True)
class Asked:
    """What is to be shown."""

    store: Store | None
    """Where there are pictures; none where the runs are in MLflow."""
    source: "Source"
    """The runs."""
    plan: Plan
    selection: str
    stale: Sequence[str]
    """Cells that are marked."""
    arguments: Sequence[str] | None
    """With which commands mean the same plan in a store; None where there is no store."""


def _sheet(asked: Asked, columns: Sequence[str] | None, theirs: "Published | None") -> "Sheet":
    """Return the grid's table: with a single column of images and teacher, the ``columns`` of numbers that it has."""
    from reports import ablation_sheet, columns_sheet

    parts = [part for part, _ in named_columns(asked.source, asked.plan, stale=asked.stale)]
    costly = bool({"parameters", "flops"} & {*(columns or ())})
    costs = [network_costs(each.frame, each.plan) if costly else {} for each in parts]
    if len(parts) > 1:
        return columns_sheet(parts, selection=asked.selection, columns=columns, networks=costs, published=theirs)
    assert columns is not None
    return ablation_sheet(
        parts[0].frame,
        plan=parts[0].plan,
        selection=asked.selection,
        columns=columns,
        stale=asked.stale,
        networks=costs[0],
        published=theirs,
    )


def _pages(asked: Asked, request: Request, data_root: Path | None) -> dict[str, str]:
    """Return a page for each column of images and teacher, by what stands for it in a file's name."""
    from reports import page

    found = named_columns(asked.source, asked.plan)
    return {
        name: page(
            asked.source,
            part.plan,
            selection=asked.selection,
            stale=asked.stale,
            networks=network_costs(part.frame, part.plan),
            pictures=_pictures(asked, part.plan, column, data_root),
            arguments=asked.arguments,
        )
        for (part, name), column in zip(found, request.columns, strict=True)
    }


def _pictures(asked: Asked, plan: Plan, column: Column, data_root: Path | None) -> "Mapping[str, Pictures] | None":
    """Return the pictures of a page; None where the runs are in MLflow."""
    if asked.store is None:
        return None
    return all_pictures(plan, asked.store, data=column.config.data, data_root=data_root)


def _write_pages(pages: Mapping[str, str], out: Path | None) -> int:
    """Write a page a column, each beside ``out``; return the exit status."""
    if out is None:
        raise ConfigError(
            f"`--format html` must be given a file where a grid has several data sets or teachers, but there is no "
            f"`--out`. With `--out FILE.html` there will be FILE{next(iter(pages))}.html and {len(pages) - 1} more."
        )
    for name, content in pages.items():
        path = out.with_stem(f"{out.stem}{name}")
        write_file(path, content)
        print(path)
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
