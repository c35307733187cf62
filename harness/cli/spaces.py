"""``dfkd spaces``: the built-in search spaces, and what is in one."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from harness.cli.options import guarded
from search_spaces import Space, available, load_space

app = typer.Typer(help="Search spaces: what `dfkd search` may change.", invoke_without_command=True)


@app.callback()
def spaces(context: typer.Context) -> None:
    """List the built-in search spaces, and what each of them searches."""
    if context.invoked_subcommand is None:
        table = Table("space", "what is searched")
        table.add_column("fields", no_wrap=True)
        for name in available("spaces"):
            space = load_space(name)
            table.add_row(name, space.title, "\n".join(space.keys))
        Console(highlight=False, soft_wrap=True).print(table)


@app.command()
@guarded
def show(
    space: Annotated[str, typer.Argument(metavar="SPACE", help="A built-in space or a TOML file.")],
) -> int:
    """Show every field of a search space: its range or choices, and when it counts."""
    loaded = load_space(space)
    console = Console(highlight=False, soft_wrap=True)
    console.print(_table(loaded))
    for key, value in loaded.base.items():
        console.print(f"{key} = {value} in every trial", markup=False)
    console.print(str(loaded.path), markup=False)
    return 0


def _table(space: Space) -> Table:
    table = Table(title=space.title, title_justify="left", title_style="bold")
    table.add_column("field", no_wrap=True)
    table.add_column("values")
    table.add_column("counts when")
    for parameter in space.parameters:
        table.add_row(parameter.key, str(parameter.domain), ", ".join(map(str, parameter.when)))
    return table
