"""``dfkd explain``: the runs behind one number of a table."""

import json
from dataclasses import asdict, replace
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
    JsonOption,
    MatchOption,
    SeedsOption,
    SetOption,
    StoreOption,
    TeacherOption,
    TrackingOption,
    guarded,
    request_of,
)
from harness.cli.report import Selection, SelectionOption
from harness.cli.reporting import marked_stale, network_costs, plan_of, refusals
from harness.records import Plan, plan_columns
from harness.store import Store, known_store


@guarded
def explain(
    grid: GridArgument,
    row: Annotated[
        str,
        typer.Argument(
            metavar="ROW",
            help="Name of a row, as the table has it; of one on several data sets also as the plan has it.",
        ),
    ],
    column: Annotated[
        str, typer.Argument(metavar="[COLUMN]", help="A column of the table, as in `dfkd report --columns`.")
    ] = "accuracy",
    dataset: DatasetOption = DEFAULT_DATASET,
    data_root: DataRootOption = None,
    budget: BudgetOption = None,
    seeds: SeedsOption = DEFAULT_SEEDS,
    settings: SetOption = None,
    match_budget: MatchOption = False,
    store: StoreOption = DEFAULT_STORE,
    teacher: TeacherOption = None,
    selection: SelectionOption = Selection.last,
    tracking_uri: TrackingOption = None,
    as_json: JsonOption = False,
) -> int:
    """List the runs behind one number: configuration, files, code, commit, machine, MLflow run."""
    from reports import derivation, explained, runs_frame
    from reports import explain as runs_behind

    request = request_of(grid, dataset, budget, seeds, settings, match_budget=match_budget)
    opened = known_store(store)
    plan = plan_of(request, opened, data_root=data_root, teacher=teacher)
    links = _links(plan, opened, tracking_uri)
    found, texts = [], []
    with refusals():
        for name, own in rows_behind(plan, row).items():
            behind = runs_behind(
                opened.root, own, name, column, selection=selection, stale=marked_stale(plan, opened), links=links
            )
            found += behind
            if not as_json:
                frame = runs_frame(opened.root, own)
                networks = network_costs(frame, own) if column in ("parameters", "flops") else {}
                derived = derivation(column, frame, plan=own, row=name, selection=selection, networks=networks)
                texts.append(explained(behind, derived, row=name, number=column, plan=own, selection=selection))
    print(json.dumps([asdict(each) for each in found], indent=1) if as_json else "\n".join(texts).rstrip("\n"))
    return 0


def rows_behind(plan: Plan, row: str) -> dict[str, Plan]:
    """Return the plan's rows that a table calls ``row``, each with its column as a plan of rows by their own names.

    A row's own name in the plan means it alone.
    """
    found = {}
    for column, part in zip(plan.context.get("columns", []), plan_columns(plan), strict=False):
        names = dict(column["rows"])
        cells = tuple(replace(cell, row=names[cell.row]) for cell in part.cells)
        own = replace(part, rows=tuple(names.values()), reference=names[part.reference], cells=cells)
        if row in names.values():
            return {row: own}
        if row in names:
            found[names[row]] = own
    return found or {row: plan}


def _links(plan: Plan, store: Store, uri: str | None) -> dict[str, str]:
    """Return where the plan's cells are in MLflow; none if it was never written here."""
    from harness.mirror import default_uri
    from reports import mlflow_links

    if uri is None and not (store.root / "mlflow.db").exists():
        return {}
    return mlflow_links(uri or default_uri(store), plan.ids)
