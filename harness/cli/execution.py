"""Where cells run, from the options: the executor, its cluster, and the room of a cell."""

from enum import StrEnum

from dfkd.errors import ConfigError
from harness.room import Room


class Executor(StrEnum):
    """Names of the executors."""

    ray = "ray"
    local = "local"


def room_of(
    device: str,
    cpus_per_trial: float,
    gpus_per_trial: float | None,
    *,
    workers: int | None = None,
    address: str | None = None,
) -> Room:
    """Return the room that the options give each cell: a GPU, if there is one, unless they say otherwise."""
    gpus = gpus_per_trial if gpus_per_trial is not None else float(device.startswith("cuda"))
    return Room(cpus_per_trial, gpus, workers=workers, address=address)


def join_cluster(address: str | None, executor: Executor, device: str) -> str:
    """Join the cluster that ``--address`` names, if any, before any work; return the device that cells compute on."""
    if address is None:
        from harness.devices import pick_device

        return pick_device(device)
    if executor != Executor.ray:
        raise ConfigError(f"`--address` must go with `--executor ray`, but it is {executor.value}. Leave one out.")
    from harness.executors.cluster import cluster_device, join

    join(address)
    return cluster_device(device)
