"""``dfkd figure``: one figure of a grid, a search or a run's networks, as PNG and SVG."""

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import pandas as pd
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
from harness.cli.reporting import all_pictures, named_columns, network_costs, plan_of, refusals, students_of
from harness.store import Store, StoreError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dfkd.config import DataConfig
    from reports import Part


class Name(StrEnum):
    """Names of the figures."""

    curves = "curves"
    rows = "rows"
    response = "response"
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
OF_SEARCHES = (Name.history, Name.parallel, Name.importances, Name.front)


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
            help="Of a grid: curves (over epochs), rows (every seed), response (over one field: Figure 7), interaction "
            "(of two fields), cost, samples (images: Figure 4). Of finished networks: features (t-SNE: Figure 5), "
            "attention, gradcam (Figure 6). Of a search: history, parallel, importances, front.",
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
    field: Annotated[
        str | None, typer.Option("--field", help="Of `response`: a field, where the rows vary several.")
    ] = None,
    cost: Annotated[Cost, typer.Option("--cost", help="Of `cost`.")] = Cost.hours,
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
    from reports.figures import save

    opened = Store(store.expanduser().resolve())
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
            plan = plan_of(
                request_of(target, dataset, budget, seeds, settings), opened, data_root=data_root, teacher=teacher
            )
            cells = cells_of_rows(plan, opened, asked.rows)
        with refusals():
            figures = {"": network_figure(name, opened, cells, asked)}
    elif name in OF_SEARCHES:
        with refusals():
            figures = {"": _of_search(name, opened, target)}
    else:
        request = request_of(target, dataset, budget, seeds, settings, match_budget=match_budget)
        plan = plan_of(request, opened, data_root=data_root, teacher=teacher)
        with refusals():
            figures = {
                suffix: _of_grid(
                    name, opened, part, column.config.data, data_root, selection, metric=metric, field=field, cost=cost
                )
                for (part, suffix), column in zip(named_columns(opened.root, plan), request.columns, strict=True)
            }
    stem = out.with_suffix("") if out.suffix in (".png", ".svg") else out
    try:
        paths = [path for suffix, drawn in figures.items() for path in save(drawn, stem.with_name(stem.name + suffix))]
    except OSError as error:
        raise StoreError(f"`--out` must name files that can be written, but {out} is not: {error.strerror}.") from None
    Console(highlight=False, soft_wrap=True).print(", ".join(map(str, paths)), markup=False)
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


def _of_grid(
    name: Name,
    store: Store,
    part: "Part",
    data: "DataConfig",
    data_root: Path | None,
    selection: str,
    *,
    metric: str,
    field: str | None,
    cost: str,
) -> "Figure":
    """Return a figure of the runs of a grid, or of one of its columns."""
    from reports import figures, open_source

    source, plan, frame = open_source(store.root), part.plan, part.frame
    if field is not None and f"config.{field}" not in frame:
        raise ConfigError(f"`--field` must be a field of the runs' configuration, but {field!r} is none of theirs.")
    match name:
        case Name.curves:
            return figures.training_curves(source.logs(plan.ids), plan=plan, metric=metric)
        case Name.rows:
            return figures.row_plot(frame, plan=plan, selection=selection)
        case Name.response:
            return figures.response_curve(frame, plan=plan, selection=selection, field=field)
        case Name.interaction:
            return figures.interaction_map(frame, plan=plan, selection=selection)
        case Name.samples:
            return figures.image_rows(all_pictures(plan, store, data=data, data_root=data_root))
        case _:
            networks = {} if cost == Cost.hours else network_costs(students_of(frame, plan), plan)
            return figures.cost_front(frame, plan=plan, selection=selection, networks=networks, cost=cost)


def _of_search(name: Name, store: Store, study: str) -> "Figure":
    """Return a figure of a search's trials."""
    from harness.search.trials import find_study, parameter_importances, read_trials, study_objectives, trial_lines
    from reports import figures
    from reports.statistics import Interval

    folder = find_study(store, study)
    trials, objectives = read_trials(folder), study_objectives(folder)
    lines = pd.DataFrame(trial_lines(trials), columns=None if trials else ["number", "state", "value", "value_2"])
    lines = lines.astype({"value": float, "value_2": float})
    parameters = [str(column) for column in lines if column not in ("number", "state", "value", "value_2")]
    title = objectives[0].title
    match name:
        case Name.history:
            return figures.search_history(lines, objective=title)
        case Name.parallel:
            return figures.parallel_coordinates(lines, parameters=parameters, objective=title)
        case Name.front:
            if len(objectives) < 2:
                raise ConfigError(
                    f"`dfkd figure front` needs a search of two objectives, but {folder.name!r} has {title} alone."
                )
            second = objectives[1]
            return figures.objective_front(lines, objectives=(title, second.title), minimised=second.minimised)
        case _:
            shares = {
                parameter: (share, Interval(*map(float, np.quantile(drawn, [0.025, 0.975]))))
                for parameter, (share, drawn) in parameter_importances(trials).items()
            }
            return figures.importances(shares, objective=title, method="PED-ANOVA")
