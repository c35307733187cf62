"""``dfkd export-store`` and ``dfkd import-store``: two machines' runs in one store."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from dfkd.errors import ConfigError
from harness.cli.options import DEFAULT_STORE, StoreOption, errors, guarded
from harness.store import StoreError, existing_store, open_store


@guarded
def export_store(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The archive to write, a tar file; *.gz is compressed.")],
    store: StoreOption = DEFAULT_STORE,
    checkpoints: Annotated[
        bool, typer.Option("--checkpoints", help="With the students' weights, and unfinished cells with their states.")
    ] = False,
    records: Annotated[
        bool,
        typer.Option(
            "--records", help="Plans, searches and the finished cells' records alone: what tables are made from."
        ),
    ] = False,
) -> int:
    """Write a store's plans, teachers, studies and finished cells to one file, for `dfkd import-store` elsewhere."""
    from harness.archive import export_store as export

    if checkpoints and records:
        raise ConfigError(
            "`--records` leaves every checkpoint out, but `--checkpoints` is given too. Give one of them."
        )
    opened = existing_store(store, "exported")
    try:
        counts = export(opened, file.expanduser(), checkpoints=checkpoints, records=records)
    except OSError as error:
        raise StoreError(f"FILE must be one that can be written, but {file} is not: {error.strerror}.") from None
    told = ", ".join(f"{number} {part}" for part, number in counts.items())
    size = file.expanduser().stat().st_size / 2**20
    Console(highlight=False, soft_wrap=True).print(f"{file}: {told}; {size:.1f} MiB", markup=False)
    return 0


@guarded
def import_store(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An archive that `dfkd export-store` wrote.")],
    store: StoreOption = DEFAULT_STORE,
) -> int:
    """Merge an archive into a store. What is there is never overwritten; what contradicts it is reported."""
    from harness.archive import import_store as merge
    from harness.live import refuse_live

    if not file.expanduser().is_file():
        raise StoreError(f"FILE must be an archive that `dfkd export-store` wrote, but there is no file {file}.")
    opened = open_store(store)
    refuse_live(opened, "`dfkd import-store`")
    merged = merge(opened, file.expanduser())
    console = Console(highlight=False, soft_wrap=True)
    for conflict in merged.conflicts:
        errors.print(f"conflict: {conflict}", markup=False)
    told = ", ".join(f"{number} {part}" for part, number in merged.new.items())
    same = ", ".join(f"{number} {part}" for part, number in merged.same.items())
    console.print(f"Taken into {opened.root}: {told}. There already: {same}.", markup=False)
    console.print("`dfkd mlflow sync` writes what is new to MLflow.", markup=False)
    return 1 if merged.conflicts else 0
