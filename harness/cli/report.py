"""``dfkd report``: the table of a grid. The one place where the harness knows of the reports."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import (
    DEFAULT_DATASET,
    DEFAULT_SEEDS,
    DEFAULT_STORE,
    BudgetOption,
    DataRootOption,
    DatasetOption,
    GridArgument,
    SeedsOption,
    SetOption,
    StoreOption,
    TeacherOption,
    guarded,
    request_of,
)
from harness.plan import Request
from harness.records import Plan, read_plan
from harness.staleness import stale_cells
from harness.store import Store, StoreError, known_store


class Format(StrEnum):
    """Names of the formats."""

    terminal = "terminal"
    markdown = "markdown"
    latex = "latex"
    csv = "csv"


class Selection(StrEnum):
    """Names of the rules by which a run's accuracy is chosen."""

    last = "last"
    final_mean = "final_mean"
    best_on_test = "best_on_test"


@guarded
def report(
    grid: GridArgument,
    dataset: DatasetOption = DEFAULT_DATASET,
    data_root: DataRootOption = None,
    budget: BudgetOption = None,
    seeds: SeedsOption = DEFAULT_SEEDS,
    settings: SetOption = None,
    store: StoreOption = DEFAULT_STORE,
    teacher: TeacherOption = None,
    output_format: Annotated[Format, typer.Option("--format", help="How the table is written.")] = Format.terminal,
    selection: Annotated[Selection, typer.Option("--selection", help="Which epoch counts.")] = Selection.last,
    runs: Annotated[
        bool, typer.Option("--runs", help="A line per run instead, in Markdown: accuracy, cost, machine, cell.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write to a file instead of the screen.")
    ] = None,
) -> int:
    """Print the table of a grid: planned rows, mean and sd over seeds, differences paired by seed."""
    from reports import ablation_table, render, render_runs, runs_frame, runs_table

    request = request_of(grid, dataset, budget, seeds, settings)
    opened = known_store(store)
    plan = _stored_plan(request, opened, teacher) or _fresh_plan(request, opened, data_root, teacher)
    keep = plan.context.get("stale") == "keep"
    stale = () if keep else stale_cells(opened.root, plan.ids)
    if runs:
        text = render_runs(runs_table(opened.root, plan), planned=len(plan.cells), stale=stale)
    else:
        frame = runs_frame(opened.root, plan)
        table = ablation_table(frame, plan=plan, selection=selection)
        color = out is None and sys.stdout.isatty()
        text = render(
            table, plan=plan, frame=frame, selection=selection, format=output_format, color=color, stale=stale
        )
    if out is None:
        print(text.rstrip("\n"))
    else:
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(text.rstrip("\n") + "\n")
        except OSError as error:
            raise StoreError(
                f"`--out` must name a file that can be written, but {out} is not: {error.strerror}."
            ) from None
    return 0


def _stored_plan(request: Request, store: Store, teacher: Path | None) -> Plan | None:
    """Return the plan as it was last run, which needs neither images nor teacher to be at hand."""
    from_file = None
    if teacher is not None:
        from dfkd.teacher import describe_teacher

        from_file = describe_teacher(teacher)["hash"]
    return read_plan(store.root / "plans" / f"{request.key(from_file)}.json")


def _fresh_plan(request: Request, store: Store, data_root: Path | None, teacher: Path | None) -> Plan:
    """Return the plan of a grid that was never run here: its table shows what is missing."""
    from harness.driver import prepare

    return prepare(request, store=store, data_root=data_root, teacher=teacher, teacher_needed=False, cache=False).plan
