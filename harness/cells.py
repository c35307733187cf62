"""Running one cell: from its stored configuration to its stored result, going on from where it stopped."""

import math
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from dfkd.config import RunConfig
from dfkd.errors import CheckpointError, DamagedStateError, TrainingDivergedError
from dfkd.files import atomic_path, save
from dfkd.loop import Record, distill, run_summary
from dfkd.overrides import flatten, with_overrides
from dfkd.state import read_state, sample_grid
from harness.engines import Choice, choose_engine
from harness.environment import environment
from harness.failures import kind_of, record_failure
from harness.fingerprint import fingerprint
from harness.freshness import begin_afresh
from harness.inputs import Where
from harness.leases import Lease, LeaseLostError
from harness.loaded import forget_inputs, real_images, validation_images, worker_inputs
from harness.plan import Cell
from harness.records import STATE_FILES, read_json, read_log, write_json
from harness.staleness import UNKNOWN
from harness.store import RunLog, Store, cell_config

MOST_PICTURES = 10
"""That a run keeps on the way, unless it is asked for others."""


def prepare_cell(store: Store, cell: Cell) -> None:
    """Write the cell's config.json, unless it is there."""
    path = store.cell(cell.id) / "config.json"
    if not path.exists():
        write_json(path, cell.record())


def run_cell(
    cell_id: str, where: Where, *, report: Callable[[Record], bool | None] | None = None, patience: float = 0.0
) -> None:
    """Run a prepared cell to its end; ``report`` is given each epoch's record. Does nothing if the cell has ended.

    If ``report`` returns true, the cell stops there, unfinished: it goes on from that epoch when it is run again.

    With some ``patience`` (``harness.leases.hold``) a cell of a dead machine is taken over; without, that is left to
    whoever watches. A loss that becomes NaN or infinite is an end, and noted as such. An error is recorded in the cell
    with its traceback, and raised; the state of the last whole epoch stays. A state that is damaged is set aside, and
    the cell begins anew.

    Raises:
        CellBusyError: another process runs the cell; nothing is recorded.
        LeaseLostError: this process stood still, and another machine runs the cell by now; nothing is recorded.
    """
    store = Store(where.store)
    with store.lease(cell_id, patience=patience) as lease:
        if store.read(cell_id).ended:
            return
        try:
            try:
                _train(store, cell_id, where, report or (lambda record: None), lease)
            except DamagedStateError:
                _set_state_aside(store.cell(cell_id))
                _train(store, cell_id, where, report or (lambda record: None), lease)
        except LeaseLostError:
            raise
        except Exception as error:
            forget_inputs()
            named, trace = f"{type(error).__name__}: {error}", traceback.format_exc()
            with suppress(OSError):  # no room: whoever runs the cells is told by the exception
                record_failure(store, cell_id, error=named, trace=trace, kind=kind_of(error))
            raise


def _train(store: Store, cell_id: str, where: Where, report: Callable[[Record], bool | None], lease: Lease) -> None:
    begin_afresh(where.threads)
    folder, device = store.cell(cell_id), torch.device(where.device)
    content = cell_config(store, cell_id)
    config = with_overrides(RunConfig(), content["config"])
    planned = content["teacher_hash"]
    place = where.teachers.get((planned, config.data))
    teacher, test = worker_inputs(config, where, place) if place else (None, None)
    if teacher is None or test is None or teacher.hash != planned:
        there = f"{place} now holds {teacher.hash[:16]}" if teacher else "this run has no teacher of that hash"
        raise CheckpointError(
            f"The teacher of cell {cell_id} must be the one it was planned with, of hash {planned[:16]}, but {there}. "
            "Plan again: give the same command once more."
        )
    choice = choose_engine(config, where, teacher=teacher, epochs_done=len(read_log(folder)))
    checkpoint_activations = where.execution.checkpoint_activations
    _note_training(folder, config, device, choice=choice, checkpoint_activations=checkpoint_activations)
    log = RunLog(folder)
    pictured = picture_epochs(config.schedule.epochs, where.execution.samples_every)
    records = distill(
        config,
        teacher=teacher,
        test=test,
        device=device,
        state_path=folder / "state.pt",
        train=real_images(config, where),
        validation=validation_images(config, where),
        engine=choice.engine,
        checkpoint_activations=checkpoint_activations,
    )
    try:
        for record in records:
            lease.check()
            log.append(record)
            if report(record):
                return
            if record["epoch"] in pictured:
                _picture(folder, config, int(record["epoch"]))
    except TrainingDivergedError as error:
        forget_inputs()
        lease.check()
        _end_diverged(folder, error)
        return
    _finish(store, cell_id, config, lease, keep_networks=where.execution.keep_networks)


def _set_state_aside(folder: Path) -> None:
    """Move a state from which the run cannot go on out of the way, with its log: the run begins anew."""
    with suppress(FileNotFoundError):
        (folder / "state.pt").replace(folder / "state.damaged.pt")
    (folder / "log.jsonl").unlink(missing_ok=True)


def _end_diverged(folder: Path, error: TrainingDivergedError) -> None:
    """Write diverged.json, then drop the state: from it the same would come out again."""
    history = read_log(folder)
    content = {"error": str(error), "epoch": len(history) + 1, **_about_end(folder, history)}
    write_json(folder / "diverged.json", content)
    _drop_state(folder)


def _about_end(folder: Path, history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what a result and a divergence both say: time spent, where, when, and by which code."""
    training = read_json(folder / "training.json")
    assert training is not None
    return {
        "seconds": sum(record["seconds"] for record in history),
        "cpu_seconds": sum(record["cpu_seconds"] for record in history),
        "environment": training["environment"],
        "trainer": training["trainer"],
        "finished": time.time(),
    }


def _drop_state(folder: Path) -> None:
    for name in ("training.json", *STATE_FILES, "state.damaged.pt"):
        (folder / name).unlink(missing_ok=True)


def _note_training(
    folder: Path, config: RunConfig, device: torch.device, *, choice: Choice, checkpoint_activations: bool
) -> None:
    """Write training.json: by which code and on what the cell is trained, for as long as it has no result.

    Of a cell that is resumed, the former code and engine stay beside the present ones.
    """
    path, present = folder / "training.json", fingerprint(flatten(config))
    trainers, engines = [present], [choice.engine]
    if (folder / "state.pt").exists():
        before = read_json(path) or {"trainer": [UNKNOWN], "environment": {}}
        trainers = [*before["trainer"], present]
        engines = [*before["environment"].get("engine", "eager").split("+"), choice.engine]
    about = environment(device) | {
        "engine": "+".join(dict.fromkeys(engines)),
        **({"engine_reason": choice.reason} if choice.reason else {}),
        "checkpoint_activations": checkpoint_activations,
    }
    write_json(path, {"environment": about, "trainer": list(dict.fromkeys(trainers))})


def picture_epochs(epochs: int, every: int | None = None) -> set[int]:
    """Return the epochs after which samples are kept on the way: the first, and then each multiple of ``every``.

    With 0 there are none. By default it is a tenth of the run, rounded up, which gives 10 at most. The last epoch's
    are kept in any case, and are not among them.
    """
    every = math.ceil(epochs / MOST_PICTURES) if every is None else every
    return {1, *range(every, epochs, every)} - {epochs} if every else set()


def _picture(folder: Path, config: RunConfig, epoch: int) -> None:
    """Keep samples of an epoch, unless they are there or the state has gone on (in a resumed run)."""
    path = folder / "samples" / f"epoch-{epoch:04d}.jpg"
    if path.exists() or config.learns_from_real_images:
        return
    state = read_state(folder / "state.pt")
    if len(state["history"]) == epoch:
        path.parent.mkdir(exist_ok=True)
        _write_samples(path, state, config)


def _write_samples(path: Path, state: Mapping[str, Any], config: RunConfig) -> None:
    """Write samples as a PNG, whose pixels are read again, or as a JPEG of a third of its size, to be looked at."""
    picture = Image.fromarray(sample_grid(state, config).permute(1, 2, 0).numpy())
    with atomic_path(path) as part:
        if path.suffix == ".jpg":
            picture.save(part, format="JPEG", quality=90)
        else:
            picture.save(part, format="PNG")


def _finish(store: Store, cell_id: str, config: RunConfig, lease: Lease, *, keep_networks: bool) -> None:
    """Keep what is worth keeping, then write the result, then drop the state."""
    folder = store.cell(cell_id)
    state, history = read_state(folder / "state.pt"), read_log(folder)
    if not len(state["history"]) == len(history) == config.schedule.epochs:
        raise RuntimeError(
            f"State and log of cell {cell_id} must be of {config.schedule.epochs} epochs at its end, but they are of "
            f"{len(state['history'])} and {len(history)}: another process has written there. Run it again."
        )
    save({"state": state["student"], "config": cell_config(store, cell_id)}, folder / "student.pt")
    if not config.learns_from_real_images:
        _write_samples(folder / "samples.png", state, config)
        if keep_networks:
            kept: dict[str, Any] = {name: state[name] for name in ("generator", "auxiliary") if name in state}
            save({**kept, "config": cell_config(store, cell_id)}, folder / "networks.pt")
    about = _about_end(folder, history)
    images = sum(record["images_per_second"] * record["seconds"] for record in history)
    result = {**run_summary(history), **about, "images_per_second": images / about["seconds"]}
    lease.check()
    write_json(folder / "result.json", result)
    _drop_state(folder)
