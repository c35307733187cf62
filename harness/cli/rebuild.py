"""``dfkd rebuild`` and ``dfkd ui``: MLflow from the store, and a look at it."""

import subprocess
import sys
import time
from typing import Annotated

import typer
from rich.console import Console

from harness.cli.mlflow import write_all
from harness.cli.options import DEFAULT_STORE, StoreOption, TrackingOption, guarded
from harness.store import StoreError, existing_store

SET_ASIDE = ("mlflow.db", "mlflow.db-wal", "mlflow.db-shm", "mlflow-artifacts")


@guarded
def rebuild(store: StoreOption = DEFAULT_STORE, tracking_uri: TrackingOption = None) -> int:
    """Make MLflow's database and the journals of studies anew from the store, as after they were lost or damaged.

    The former files are kept beside the new ones. With --tracking-uri the server's runs are completed, not deleted.
    """
    from harness.live import refuse_live
    from harness.search.rebuild import rebuild_studies

    opened = existing_store(store, "rebuilt")
    refuse_live(opened, "`dfkd rebuild`")
    console = Console(highlight=False, soft_wrap=True)
    moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    if tracking_uri is None:
        for name in SET_ASIDE:
            path = opened.root / name
            if path.exists():
                path.replace(opened.root / f"{name}.before-{moment}")
    cells, plans, uri = write_all(opened, tracking_uri)
    console.print(f"{cells} cells of {plans} grids are in MLflow: {uri}", markup=False)
    for name, told in rebuild_studies(opened, moment):
        console.print(f"study {name}: {told}", markup=False)
    return 0


@guarded
def ui(
    store: StoreOption = DEFAULT_STORE,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Of this machine's loopback.")] = 5000,
) -> int:
    """Open MLflow's pages on the store's own database, for this machine alone, until Ctrl-C."""
    from harness.mirror import default_uri
    from harness.records import MLFLOW_ENVIRONMENT

    opened = existing_store(store, "looked at")
    if not (opened.root / "mlflow.db").exists():
        raise StoreError(
            f"MLflow's database must be there to be looked at, but there is none in {opened.root}. `dfkd mlflow sync` "
            "makes it from the store; a server that was named with `--tracking-uri` has pages of its own."
        )
    _refuse_taken(port)
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", default_uri(opened)]
    command += ["--default-artifact-root", (opened.root / "mlflow-artifacts").as_uri()]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"MLflow at http://127.0.0.1:{port} once it is up, which takes some seconds. Ctrl-C ends it.")
    import os

    process = subprocess.Popen(command, env={**os.environ, **MLFLOW_ENVIRONMENT}, start_new_session=True)
    try:
        return process.wait()
    except KeyboardInterrupt:
        console.print("\nMLflow has ended.")
        return 0
    finally:
        _end(process)


def _refuse_taken(port: int) -> None:
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise StoreError(
                f"`--port` must be free, but {port} is not: {error.strerror}. Give another, `--port {port + 1}`, say."
            ) from None


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the server with its workers, which are in a session of their own."""
    import os
    import signal

    for kind in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, kind)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                continue
