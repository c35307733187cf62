"""``dfkd mlflow``: what mirrors the store to MLflow without running anything."""

from contextlib import closing
from typing import Annotated

import typer
from rich.console import Console

from dfkd.errors import UserError
from harness.cli.options import DEFAULT_STORE, StoreOption, TrackingOption, guarded
from harness.live import live_drivers
from harness.records import read_plans
from harness.store import Store, StoreError, existing_store, find_cell

app = typer.Typer(name="mlflow", help="The mirror of the store in MLflow.", no_args_is_help=True)


class MirrorError(UserError):
    """MLflow cannot be written."""


@app.command(name="sync")
@guarded
def sync(
    store: StoreOption = DEFAULT_STORE,
    tracking_uri: TrackingOption = None,
    checkpoints: Annotated[bool, typer.Option("--checkpoints", help="Also the students' weights.")] = False,
) -> int:
    """Write every planned cell of the store to MLflow that is not there yet, as after an outage. Safe to repeat.

    A running cell is left to the command that runs it.
    """
    cells, plans, uri = write_all(existing_store(store, "mirrored"), tracking_uri, checkpoints=checkpoints)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{cells} cells of {plans} grids are in MLflow: {uri}", markup=False)
    return 0


def write_all(store: Store, tracking_uri: str | None, *, checkpoints: bool = False) -> tuple[int, int, str]:
    """Mirror every plan; return how many cells and plans there are, and the URI.

    Raises:
        MirrorError: MLflow cannot be reached, or a driver is writing there.
    """
    from harness.mirror import Mirror, default_uri

    plans = read_plans(store.root)
    uri = tracking_uri or default_uri(store)
    started: set[str] = set()
    try:
        mirror = Mirror.hold(uri, store, checkpoints=checkpoints)
        if mirror is None:
            drivers = "; ".join(map(str, live_drivers(store))) or "another command"
            raise MirrorError(
                f"MLflow must be written by one command at a time, but {drivers} is writing to {uri}. It writes its "
                "own cells; wait for it to write the others."
            )
        with closing(mirror):
            for plan in plans:
                ids = [cell_id for cell_id in plan.ids if not store.is_running(cell_id)]
                mirror.sync(ids, plan)
                started |= {cell_id for cell_id in ids if store.read(cell_id).epochs_done}
    except UserError:
        raise
    except Exception as error:  # a backend may raise anything
        raise _out_of_reach(uri, error) from None
    return len(started), len(plans), uri


@app.command(name="register")
@guarded
def register(
    cell: Annotated[str, typer.Argument(metavar="CELL", help="A finished cell's id, or the beginning of it.")],
    name: Annotated[str, typer.Option("--name", help="Of the registered model.")] = "dfkd",
    store: StoreOption = DEFAULT_STORE,
    tracking_uri: TrackingOption = None,
) -> int:
    """Make a cell's student a version of a registered model: the best of a search, say, whose end names its cell."""
    from harness.mirror import Mirror, default_uri

    opened = existing_store(store, "registered from")
    cell_id = find_cell(opened, cell)
    if opened.read(cell_id).result is None:
        raise StoreError(f"Cell {cell_id} must be finished to be registered, but it is {opened.read(cell_id).status}.")
    uri = tracking_uri or default_uri(opened)
    try:
        version = Mirror(uri, opened).register(cell_id, name)
    except UserError:
        raise
    except Exception as error:  # a backend may raise anything
        raise _out_of_reach(uri, error) from None
    Console(highlight=False, soft_wrap=True).print(f"{name}, version {version}: cell {cell_id}, at {uri}", markup=False)
    return 0


def _out_of_reach(uri: str, error: Exception) -> MirrorError:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
    return MirrorError(
        f"MLflow must be within reach to be written, but {uri} is not: {type(error).__name__}: {reason}. "
        "Nothing is lost: give the command again once it is, or another `--tracking-uri`."
    )
