"""``dfkd explain``: the runs behind one number of a table."""

import json
from dataclasses import asdict
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
from harness.store import Store


@guarded
def explain(
    grid: GridArgument,
    row: Annotated[str, typer.Argument(metavar="ROW", help="Name of a row, as the table has it.")],
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
    opened = Store(store.expanduser().resolve())
    plan = plan_of(request, opened, data_root=data_root, teacher=teacher)
    links = _links(plan, opened, tracking_uri)
    with refusals():
        behind = runs_behind(
            opened.root, plan, row, column, selection=selection, stale=marked_stale(plan, opened), links=links
        )
    if as_json:
        print(json.dumps([asdict(each) for each in behind], indent=1))
    else:
        print(explained(behind, row=row, number=column, plan=plan, selection=selection).rstrip("\n"))
    return 0


def _links(plan: Plan, store: Store, uri: str | None) -> dict[str, str]:
    """Return where the plan's cells are in MLflow; none if it was never written here."""
    from harness.mirror import default_uri
    from reports import mlflow_links

    if uri is None and not (store.root / "mlflow.db").exists():
        return {}
    return mlflow_links(uri or default_uri(store), plan.ids)
