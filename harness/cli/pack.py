"""``--pack auto``: how many cells run side by side, measured before the first one starts."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from dfkd.errors import ConfigError
from harness.cli.options import Pack
from harness.driver import Prepared
from harness.plan import Cell
from harness.room import Room
from harness.store import Store


def check_pack(pack: Pack, *, address: str | None, executor: str) -> None:
    """Raise ConfigError if packing is asked for where it cannot be measured."""
    if pack == Pack.auto and (address is not None or executor != "ray"):
        other = "--address" if address is not None else f"--executor {executor}"
        raise ConfigError(
            f"`--pack auto` must go without `{other}`: it measures this machine, for cells that share it. "
            "Leave one of them out."
        )


def packed(
    room: Room,
    cells: Sequence[Cell],
    prepared: Prepared,
    store: Store,
    *,
    data_root: Path | None,
    device: str,
    console: Console,
) -> Room:
    """Return the room that was measured to be best for ``cells`` of the plan; ``room`` if there are none."""
    import torch

    from harness.company import costliest, pack
    from harness.environment import machine

    if not cells:
        return room
    config = costliest(cells)
    inputs = prepared.inputs_of(config)
    packing, now = pack(
        config,
        store,
        machine=machine(torch.device(device), threads=0),
        teacher=inputs.teacher_path,
        class_names=inputs.facts.class_names,
        data_root=data_root,
        device=device,
        cpus_per_trial=room.cpus,
    )
    on_gpu = device.startswith("cuda")
    place = "a GPU" if on_gpu else f"the processor, {packing.threads} threads each"
    console.print(
        f"Packing: {packing.cells} cells at a time share {place}: {packing.gain:.2f} times the steps a second of one "
        f"cell at a time, {'measured just now' if now else 'as measured before'}.",
        markup=False,
    )
    return replace(room, gpus=1 / packing.cells) if on_gpu else replace(room, cpus=packing.threads)
