"""``dfkd grids``: which grids there are, and what their rows are."""

import json
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dfkd.config import RunConfig
from dfkd.overrides import canonical, flatten
from harness.cli.options import (
    DEFAULT_DATASET,
    BudgetOption,
    DatasetOption,
    GridArgument,
    JsonOption,
    MatchOption,
    SetOption,
    guarded,
    request_of,
)
from harness.plan import Request
from search_spaces import available

app = typer.Typer(help="List the built-in grids; `show` explains one.")


@app.callback(invoke_without_command=True)
def grids(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the built-in grids, or explain one with `show`."""
    if context.invoked_subcommand is None:
        list_grids(as_json)


@guarded
def list_grids(as_json: bool) -> int:
    """Print a line for each built-in grid."""
    requests = [request_of(name, DEFAULT_DATASET, None, "0", None) for name in available("grids")]
    if as_json:
        print(json.dumps({"grids": [_summary(request) for request in requests]}, indent=1))
        return 0
    table = Table("grid", "what it shows", "rows", "reference")
    for request in requests:
        grid = request.grid
        table.add_row(grid.name, grid.title, str(len(grid.rows)), grid.reference)
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    console.print("The rows of one: dfkd grids show NAME. To write your own: docs/grids.md.")
    return 0


@app.command()
@guarded
def show(
    grid: GridArgument,
    dataset: DatasetOption = DEFAULT_DATASET,
    budget: BudgetOption = None,
    settings: SetOption = None,
    match_budget: MatchOption = False,
    as_json: JsonOption = False,
) -> int:
    """Print the rows of a grid and how each differs from the base: key, value, and the base's value in brackets."""
    request = request_of(grid, dataset, budget, "0", settings, match_budget=match_budget)
    if as_json:
        rows = [{"name": name, "differs": _differences(request, config)} for name, config in request.rows.items()]
        print(json.dumps(_summary(request) | {"dataset": dataset, "budget": request.budget, "rows": rows}, indent=1))
    else:
        _print(request)
    return 0


def _summary(request: Request) -> dict[str, Any]:
    grid = request.grid
    return {
        "name": grid.name,
        "title": grid.title,
        "reference": grid.reference,
        "path": str(grid.path),
        "comment": comment(grid.path),
        "rows": [row.name for row in grid.rows],
        "runs_per_seed": len({json.dumps(canonical(config)) for config in request.rows.values()}),
    }


def comment(path: Path) -> str:
    """Return the comment that a file starts with, without its signs; empty if it starts otherwise."""
    lines = takewhile(lambda line: line.startswith("#"), path.read_text().splitlines())
    return "\n".join(line.lstrip("#").strip() for line in lines)


def _differences(request: Request, config: RunConfig) -> Mapping[str, Any]:
    """Return the fields that a row does not share with the base, with the row's values."""
    base = flatten(request.base)
    return {key: value for key, value in flatten(config).items() if value != base[key]}


def _print(request: Request) -> None:
    console = Console(highlight=False, soft_wrap=True)
    grid, summary, base = request.grid, _summary(request), flatten(request.base)
    console.print(Text(f"{grid.title} ({grid.name})", style="bold"))
    console.print(Text(str(grid.path)))
    if summary["comment"]:
        console.print(Text(f"\n{summary['comment']}\n"))
    table = Table("row", f"how it differs from the base ({request.dataset}, budget {request.budget})")
    for name, config in request.rows.items():
        differences = _differences(request, config)
        lines = [f"{key} = {value} ({base[key]})" for key, value in differences.items()]
        table.add_row(Text(name), Text("\n".join(lines) or "the base itself"))
    console.print(table)
    console.print(
        Text(
            f"{len(grid.rows)} rows, {summary['runs_per_seed']} different runs a seed. A table takes differences from: "
            f"{grid.reference}"
        )
    )
