"""Running one cell: from its stored configuration to its stored result, going on from where it stopped."""

import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from dfkd.config import RunConfig
from dfkd.errors import CheckpointError
from dfkd.files import atomic_path, save
from dfkd.loop import Record, distill, run_summary
from dfkd.overrides import flatten, with_overrides
from dfkd.state import read_state, sample_grid
from harness.environment import environment
from harness.fingerprint import fingerprint
from harness.inputs import Where, real_images, validation_images, worker_inputs
from harness.plan import Cell
from harness.records import read_json, read_log, write_json
from harness.staleness import UNKNOWN
from harness.store import RunLog, Store, cell_config

LEASE_PATIENCE = 60.0
"""Seconds to wait for a cell whose former process is just being killed."""


def prepare_cell(store: Store, cell: Cell) -> None:
    """Write the cell's config.json, unless it is there."""
    path = store.cell(cell.id) / "config.json"
    if not path.exists():
        write_json(path, cell.record())


def run_cell(cell_id: str, where: Where, *, report: Callable[[Record], bool | None] | None = None) -> None:
    """Run a prepared cell to its end; ``report`` is given each epoch's record. Does nothing if the cell is done.

    If ``report`` returns true, the cell stops there, unfinished: it goes on from that epoch when it is run again.

    An error is recorded in the cell with its traceback, and raised; the state of the last whole epoch stays.

    Raises:
        CellBusyError: another process runs the cell; nothing is recorded.
    """
    store = Store(where.store)
    with store.lease(cell_id, patience=LEASE_PATIENCE):
        folder = store.cell(cell_id)
        if (folder / "result.json").exists():
            return
        try:
            _train(store, cell_id, where, report or (lambda record: None))
        except Exception as error:
            record_failure(store, cell_id, error=f"{type(error).__name__}: {error}", trace=traceback.format_exc())
            raise


def record_failure(store: Store, cell_id: str, *, error: str, trace: str) -> None:
    """Write the cell's failure.json."""
    write_json(store.cell(cell_id) / "failure.json", {"error": error, "traceback": trace, "time": time.time()})


def _train(store: Store, cell_id: str, where: Where, report: Callable[[Record], bool | None]) -> None:
    torch.set_num_threads(where.threads)
    folder, device = store.cell(cell_id), torch.device(where.device)
    content = cell_config(store, cell_id)
    config = with_overrides(RunConfig(), content["config"])
    teacher, test = worker_inputs(config, where)
    planned = content["teacher_hash"]
    if teacher.hash != planned:
        raise CheckpointError(
            f"The teacher of cell {cell_id} must be the one it was planned with, of hash {planned[:16]}, but "
            f"{where.teacher} now holds {teacher.hash[:16]}. Plan again: give the same command once more."
        )
    _note_training(folder, config, device)
    log = RunLog(folder)
    state = folder / "state.pt"
    pictured = picture_epochs(config.schedule.epochs)
    shown = {"train": real_images(config, where), "validation": validation_images(config, where)}
    for record in distill(config, teacher=teacher, test=test, device=device, state_path=state, **shown):
        log.append(record)
        if report(record):
            return
        if record["epoch"] in pictured:
            _picture(folder, config, int(record["epoch"]))
    _finish(store, cell_id, config, device)


def _note_training(folder: Path, config: RunConfig, device: torch.device) -> None:
    """Write training.json: by which code and on what the cell is trained, for as long as it has no result."""
    path, present = folder / "training.json", fingerprint(flatten(config))
    former: list[str] = []
    if (folder / "state.pt").exists():
        former = (read_json(path) or {"trainer": [UNKNOWN]})["trainer"]
    write_json(path, {"environment": environment(device), "trainer": list(dict.fromkeys([*former, present]))})


def picture_epochs(epochs: int) -> set[int]:
    """Return the epochs after which samples are kept on the way: the first, and a quarter, half and three quarters."""
    return {1, *(round(epochs * share) for share in (0.25, 0.5, 0.75))} - {0, epochs}


def _picture(folder: Path, config: RunConfig, epoch: int) -> None:
    """Keep samples of an epoch, unless they are there or the state has gone on (in a resumed run)."""
    path = folder / "samples" / f"epoch-{epoch:04d}.png"
    if path.exists() or config.learns_from_real_images:
        return
    state = read_state(folder / "state.pt")
    if len(state["history"]) == epoch:
        path.parent.mkdir(exist_ok=True)
        _write_samples(path, state, config)


def _write_samples(path: Path, state: Mapping[str, Any], config: RunConfig) -> None:
    with atomic_path(path) as part:
        Image.fromarray(sample_grid(state, config).permute(1, 2, 0).numpy()).save(part, format="PNG")


def _finish(store: Store, cell_id: str, config: RunConfig, device: torch.device) -> None:
    """Keep what is worth keeping, then write the result, then drop the state."""
    folder = store.cell(cell_id)
    state, history = read_state(folder / "state.pt"), read_log(folder)
    save({"state": state["student"], "config": cell_config(store, cell_id)}, folder / "student.pt")
    if not config.learns_from_real_images:
        _write_samples(folder / "samples.png", state, config)
    training = read_json(folder / "training.json")
    assert training is not None
    seconds = sum(record["seconds"] for record in history)
    result: dict[str, Any] = {
        **run_summary(history),
        "seconds": seconds,
        "cpu_seconds": sum(record["cpu_seconds"] for record in history),
        "images_per_second": sum(record["images_per_second"] * record["seconds"] for record in history) / seconds,
        "environment": environment(device),
        "trainer": training["trainer"],
        "finished": time.time(),
    }
    write_json(folder / "result.json", result)
    for name in ("training.json", "state.pt"):
        (folder / name).unlink()
