"""``dfkd mlflow``: what mirrors the store to MLflow without running anything."""

import typer
from rich.console import Console

from dfkd.errors import UserError
from harness.cli.options import DEFAULT_STORE, StoreOption, TrackingOption, guarded
from harness.records import read_plans
from harness.store import Store, StoreError

app = typer.Typer(name="mlflow", help="The mirror of the store in MLflow.", no_args_is_help=True)


class MirrorError(UserError):
    """MLflow cannot be written."""


@app.callback()
def mlflow() -> None:
    """Keep ``sync`` a command of its own while it is the only one."""


@app.command(name="sync")
@guarded
def sync(store: StoreOption = DEFAULT_STORE, tracking_uri: TrackingOption = None) -> int:
    """Write every planned cell of the store to MLflow that is not there yet, as after an outage. Safe to repeat.

    A running cell is left to the command that runs it.
    """
    from harness.mirror import Mirror, default_uri

    root = store.expanduser().resolve()
    if not root.is_dir():
        raise StoreError(f"The store must exist to be mirrored, but there is none at {root}. Name it with `--store`.")
    opened = Store(root)
    plans = read_plans(root)
    uri = tracking_uri or default_uri(opened)
    started: set[str] = set()
    try:
        for plan in plans:
            ids = [cell_id for cell_id in plan.ids if not opened.is_running(cell_id)]
            Mirror(uri, opened).sync(ids, plan)  # one a plan: each tags its cells with its own grid
            started |= {cell_id for cell_id in ids if opened.read(cell_id).epochs_done}
    except Exception as error:  # a backend may raise anything
        reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise MirrorError(
            f"MLflow must be within reach to be written, but {uri} is not: {type(error).__name__}: {reason}. "
            "Nothing is lost: give the command again once it is, or another `--tracking-uri`."
        ) from None
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{len(started)} cells of {len(plans)} grids are in MLflow: {uri}", markup=False)
    return 0
