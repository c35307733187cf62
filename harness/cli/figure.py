"""``dfkd figure``: one figure of a grid, a search or a run's networks, as PNG and SVG."""

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from dfkd.errors import ConfigError
from harness.cli.network_figures import Asked, cells_of_rows, is_cell, network_figure, of_cell
from harness.cli.options import (
    DEFAULT_DATASET,
    DEFAULT_SEEDS,
    DEFAULT_STORE,
    BudgetOption,
    DataRootOption,
    DatasetOption,
    MatchOption,
    SeedsOption,
    SetOption,
    StoreOption,
    TeacherOption,
    guarded,
    request_of,
)
from harness.cli.report import Selection, SelectionOption
from harness.cli.reporting import all_pictures, marked_stale, named_columns, network_costs, plan_of, refusals
from harness.cli.search_figures import OF_SEARCHES, ImportanceEvaluator, search_figure
from harness.records import Plan
from harness.store import Store, StoreError, known_store

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from dfkd.config import DataConfig
    from reports import Part


class Name(StrEnum):
    """Names of the figures."""

    curves = "curves"
    rows = "rows"
    response = "response"
    orders = "orders"
    interaction = "interaction"
    cost = "cost"
    samples = "samples"
    features = "features"
    attention = "attention"
    gradcam = "gradcam"
    history = "history"
    parallel = "parallel"
    importances = "importances"
    front = "front"


OF_NETWORKS = (Name.features, Name.attention, Name.gradcam)


class Over(StrEnum):
    """Names of ``reports.curves.AXES``."""

    epochs = "epochs"
    cpu_minutes = "cpu-minutes"
    wall_minutes = "wall-minutes"


class Cost(StrEnum):
    """What accuracy is drawn against."""

    hours = "hours"
    parameters = "parameters"
    flops = "flops"


@guarded
def figure(
    name: Annotated[
        Name,
        typer.Argument(
            metavar="NAME",
            help="Of a grid: curves (over epochs or time), rows (every seed), response (over one field: Figure 7), "
            "orders (of the attention), interaction (of two fields), cost, samples (images: Figure 4). Of finished "
            "networks: features (t-SNE: Figure 5), attention, gradcam (Figure 6). Of a search: history, parallel, "
            "importances, front.",
        ),
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="GRID|CELL|STUDY",
            help="A grid; of networks also a cell's id; of a search the name of its study, or its beginning.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="STEM", help="Writes STEM.png and STEM.svg.")],
    dataset: DatasetOption = DEFAULT_DATASET,
    data_root: DataRootOption = None,
    budget: BudgetOption = None,
    seeds: SeedsOption = DEFAULT_SEEDS,
    settings: SetOption = None,
    match_budget: MatchOption = False,
    store: StoreOption = DEFAULT_STORE,
    teacher: TeacherOption = None,
    selection: SelectionOption = Selection.last,
    metric: Annotated[str, typer.Option("--metric", help="Of `curves`: a name in the runs' logs.")] = "test_accuracy",
    over: Annotated[Over, typer.Option("--over", help="Of `curves`: the horizontal axis.")] = Over.epochs,
    teacher_share: Annotated[
        float | None,
        typer.Option(
            "--teacher-share",
            min=0.0,
            max=1.0,
            metavar="FRACTION",
            help="Of `curves`: a line at this share of the teacher's accuracy, and when the seeds reach it.",
        ),
    ] = None,
    field: Annotated[
        str | None, typer.Option("--field", help="Of `response`: a field, where the rows vary several.")
    ] = None,
    cost: Annotated[Cost, typer.Option("--cost", help="Of `cost`.")] = Cost.hours,
    evaluator: Annotated[
        ImportanceEvaluator, typer.Option("--evaluator", help="Of `importances`.")
    ] = ImportanceEvaluator.ped_anova,
    rows: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ROW]...",
            help="Of networks: rows of the grid, each of its first seed that is done; by default all.",
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            "--classes",
            metavar="NAME,...",
            help="Of networks: whose test images; names, or beginnings of them. By default the first ones.",
        ),
    ] = None,
    images: Annotated[
        int, typer.Option("--images", min=1, max=16, help="Of `attention`, `gradcam`: real ones, and synthetic ones.")
    ] = 4,
    stage: Annotated[
        int | None, typer.Option("--stage", help="Of `attention`, `gradcam`: from 1; by default the last.")
    ] = None,
) -> int:
    """Draw one figure as PNG and SVG, in a style for print. `dfkd report --format html` has a grid's together."""
    from reports import check_columns
    from reports.figures import save

    opened = known_store(store)
    figures: dict[str, tuple[Figure, pd.DataFrame | None]] = {}
    words: list[str] = []
    _check_out(out)
    if rows and name not in OF_NETWORKS:
        raise ConfigError(
            f"ROW must go with {', '.join(OF_NETWORKS)}, but the figure is {name.value}. Leave {rows} out."
        )
    if name in OF_NETWORKS:
        asked = Asked(tuple(rows or ()), classes, images, stage, data_root, teacher)
        if is_cell(target) and not rows:
            cells = of_cell(opened, target)
        else:
            request = request_of(target, dataset, budget, seeds, settings, match_budget=match_budget)
            plan = plan_of(request, opened, data_root=data_root, teacher=teacher)
            cells = cells_of_rows(plan, opened, asked.rows)
        with refusals():
            figures = {"": (network_figure(name, opened, cells, asked), None)}
    elif name in OF_SEARCHES:
        with refusals():
            drawn, table, said = search_figure(name, opened, target, evaluator=evaluator.value)
        figures, words = {"": (drawn, table)}, [said]
    else:
        request = request_of(target, dataset, budget, seeds, settings, match_budget=match_budget)
        plan = plan_of(request, opened, data_root=data_root, teacher=teacher)
        with refusals():
            parts = named_columns(opened.root, plan, stale=marked_stale(plan, opened))
            for (part, suffix), column in zip(parts, request.columns, strict=True):
                if name == Name.curves:
                    check_columns(part.frame, plan=part.plan, stale=part.stale)
                    drawn, table, said = _curves(
                        opened, part.plan, metric=metric, over=over.value, teacher_share=teacher_share
                    )
                    words.append(said)
                else:
                    data = column.config.data
                    drawn = _of_grid(name, opened, part, data, data_root, selection, field=field, cost=cost)
                    table = None
                figures[suffix] = (drawn, table)
    stem = out.with_suffix("") if out.suffix in (".png", ".svg") else out
    try:
        paths = [
            path
            for suffix, (drawn, table) in figures.items()
            for path in save(drawn, stem.with_name(stem.name + suffix), table)
        ]
    except OSError as error:
        raise StoreError(f"`--out` must name files that can be written, but {out} is not: {error.strerror}.") from None
    console = Console(highlight=False, soft_wrap=True)
    for said in filter(None, words):
        console.print(said, markup=False)
    console.print(", ".join(map(str, paths)), markup=False)
    return 0


def _check_out(out: Path) -> None:
    """Raise StoreError unless files can be written beside ``out``; its folder is made."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        reason = "its folder cannot be written" if not os.access(out.parent, os.W_OK) else None
    except OSError as error:
        reason = error.strerror
    if reason:
        raise StoreError(f"`--out` must name files that can be written, but {out} is not: {reason}.")


def _curves(
    store: Store, plan: Plan, *, metric: str, over: str, teacher_share: float | None
) -> tuple["Figure", "pd.DataFrame", str]:
    """Return the curves of a grid's runs, the table of what is drawn, and when a share of the teacher is reached."""
    from reports import figures, open_source
    from reports.curves import AXES, curve_table, reached_in_words, seed_curves, teacher_level

    logs = open_source(store.root).logs(plan.ids)
    drawn = figures.training_curves(logs, plan=plan, metric=metric, over=over, teacher_share=teacher_share)
    curves = seed_curves(logs, plan=plan, metric=metric, over=over)
    table = curve_table(curves, over=over)
    if teacher_share is None:
        return drawn, table, ""
    level = teacher_level(teacher_share, plan=plan, metric=metric)
    head = f"{100 * teacher_share:g} % of the teacher's accuracy, {level:.2f} %, after {AXES[over].unit}:"
    return drawn, table, "\n".join([head, *reached_in_words(curves, level, over=over)])


def _of_grid(
    name: Name,
    store: Store,
    part: "Part",
    data: "DataConfig",
    data_root: Path | None,
    selection: str,
    *,
    field: str | None,
    cost: str,
) -> "Figure":
    """Return a figure of the runs of a grid, or of one of its columns."""
    from reports import check_columns, figures

    plan, frame = part.plan, part.frame
    check_columns(frame, plan=plan, stale=part.stale)
    if field is not None and f"config.{field}" not in frame:
        raise ConfigError(f"`--field` must be a field of the runs' configuration, but {field!r} is none of theirs.")
    match name:
        case Name.rows:
            return figures.row_plot(frame, plan=plan, selection=selection)
        case Name.response:
            return figures.response_curve(frame, plan=plan, selection=selection, field=field)
        case Name.orders:
            return figures.order_comparison(frame, plan=plan, selection=selection)
        case Name.interaction:
            return figures.interaction_map(frame, plan=plan, selection=selection)
        case Name.samples:
            return figures.image_rows(all_pictures(plan, store, data=data, data_root=data_root))
        case _:
            networks = {} if cost == Cost.hours else network_costs(frame, plan)
            return figures.cost_front(frame, plan=plan, selection=selection, networks=networks, cost=cost)
