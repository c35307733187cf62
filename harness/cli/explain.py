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
from harness.cli.reporting import marked_stale, plan_of, refusals
from harness.records import Plan
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
        str, typer.Argument(metavar="[COLUMN]", help="accuracy, or difference: with the reference's runs.")
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
    from reports import explain as runs_behind
    from reports import explained

    request = request_of(grid, dataset, budget, seeds, settings, match_budget=match_budget)
    opened = known_store(store)
    plan = plan_of(request, opened, data_root=data_root, teacher=teacher)
    links = _links(plan, opened, tracking_uri)
    found, rows = {}, rows_behind(plan, row)
    with refusals():
        for name, reference in rows.items():
            own = replace(plan, reference=reference)
            found[name] = runs_behind(
                opened.root, own, name, column, selection=selection, stale=marked_stale(plan, opened), links=links
            )
    if as_json:
        print(json.dumps([asdict(each) for behind in found.values() for each in behind], indent=1))
        return 0
    texts = [
        explained(behind, row=name, number=column, plan=replace(plan, reference=reference), selection=selection)
        for (name, reference), behind in zip(rows.items(), found.values(), strict=True)
    ]
    print("\n".join(texts).rstrip("\n"))
    return 0


def rows_behind(plan: Plan, row: str) -> dict[str, str]:
    """Return the plan's rows that a table calls ``row``, each with the reference of its column; a row's own name in the
    plan means it alone."""
    if row in plan.rows and not plan.context.get("columns"):
        return {row: plan.reference}
    found = {}
    for column in plan.context.get("columns", []):
        names = dict(column["rows"])
        if row in names.values():
            return {row: names[column["reference"]]}
        if row in names:
            found[names[row]] = names[column["reference"]]
    return found or {row: plan.reference}


def _links(plan: Plan, store: Store, uri: str | None) -> dict[str, str]:
    """Return where the plan's cells are in MLflow; none if it was never written here."""
    from harness.mirror import default_uri
    from reports import mlflow_links

    if uri is None and not (store.root / "mlflow.db").exists():
        return {}
    return mlflow_links(uri or default_uri(store), plan.ids)
