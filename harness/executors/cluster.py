"""The Ray instance that cells run on: one of our own on this machine, or a running cluster that we join."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dfkd.errors import UserError
from harness.room import Room

WORKERS = {
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Keep the memory of large tensors instead of returning it to the system after every step: a fifth of a CPU step.
    "MALLOC_MMAP_THRESHOLD_": str(2**33),
    "MALLOC_TRIM_THRESHOLD_": str(2**33),
}
"""What the processes that run cells must find in their environment."""

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # five files a trial that say what the store says
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is ours: it stops at once, and the store knows what is done
    "RAY_AIR_NEW_OUTPUT": "0",
    **WORKERS,
}
"""What the driver must find in its own."""

REACH = 5.0
"""Seconds after which a cluster that does not answer is out of reach."""

WAY_OUT = (
    "Start it on its first machine with `ray start --head --port=6379`, give `--address` as HOST:6379, and run dfkd on "
    "a machine of the cluster (docs/cluster.md); or leave `--address` out to run on this machine alone."
)


class ClusterError(UserError):
    """A Ray cluster cannot be joined."""


def _set_environment() -> None:
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def join(address: str) -> None:
    """Connect this process to the running Ray cluster at ``address``: HOST:PORT, or ``auto`` for this machine's.

    Raises:
        ClusterError: it cannot be reached, or not from this machine, or runs other versions.
    """
    if address != "auto":
        _check_reach(address)
    _set_environment()
    import ray

    if ray.is_initialized():
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        ray.init(address=address, runtime_env={"env_vars": WORKERS}, **quiet)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ClusterError(
            f"`--address` must be that of a running Ray cluster of which this machine is a part, but {address!r} "
            f"cannot be joined: {reason} {WAY_OUT}"
        ) from None


def _check_reach(address: str) -> None:
    """Raise ClusterError unless something listens at ``address``: Ray itself would try for a minute."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise ClusterError(f"`--address` must be HOST:PORT or auto, but it is {address!r}. {WAY_OUT}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(
            f"`--address` must be that of a running Ray cluster, but nothing answers at {address}: {error}. {WAY_OUT}"
        ) from None


@contextmanager
def ray_instance() -> Iterator[None]:
    """Use the Ray instance that this process has, or start one of its own and stop it afterwards."""
    _set_environment()
    import ray

    started = not ray.is_initialized()
    if started:
        # "local", so that a cluster that happens to run here is not joined unasked.
        ray.init("local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield
    finally:
        if started:
            ray.shutdown()


def cluster_device(name: str) -> str:
    """Return where cells compute in the cluster that was joined: ``cuda`` for ``auto`` if it has GPUs, else ``cpu``.

    Any other ``name`` is taken as it is: this machine, which may have no GPU, cannot check it for the others.
    """
    import ray

    if name != "auto":
        return name
    return "cuda" if ray.cluster_resources().get("GPU", 0) else "cpu"


def whole_room(room: Room) -> Room:
    """Return the room of a cell without company: the cores of the largest machine, and one GPU if cells have any."""
    import ray

    cores = [node["Resources"].get("CPU", 1.0) for node in ray.nodes() if node["Alive"]]
    return Room(cpus=max([room.cpus, *cores]), gpus=max(1.0, room.gpus) if room.gpus else 0.0)


def slots(room: Room) -> int:
    """Return how many cells fit into the cluster as it is now, at least one."""
    import ray

    total = 0
    for node in ray.nodes():
        if node["Alive"]:
            has = node["Resources"]
            fit = [has.get("CPU", 0.0) // room.cpus, *([has.get("GPU", 0.0) // room.gpus] if room.gpus else [])]
            total += int(min(fit))
    return max(1, total)
