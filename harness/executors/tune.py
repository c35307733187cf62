"""Ray Tune as the executor: a fresh Tuner over the missing cells, with actors that are reused from cell to cell.

Ray's own experiment state is thrown away. The store is what a later invocation goes by.
"""

import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from harness.cells import run_cell
from harness.executors.cluster import ray_instance, slots, whole_room
from harness.executors.feed import PATIENCE, Feed
from harness.freshness import spare_the_collector
from harness.inputs import Where
from harness.leases import LeaseLostError
from harness.memory import capped
from harness.room import Outcome, Room
from harness.store import CellBusyError


def run_ray(ids: Sequence[str], where: Where, room: Room) -> Outcome:
    """Run the cells as trials of one Tuner, first in first out, as many at a time as the resources allow.

    Uses the Ray instance that this process has, or starts one and stops it afterwards.
    """
    with ray_instance():
        return _fit(ids, where, room)


def stream_ray(feed: Feed, where: Where, room: Room) -> Room:
    """Run the feed's cells as trials of one Tuner, ``room.workers`` at a time, or as many as the resources allow.

    Tune asks the feed for trials; it neither knows nor keeps what the feed goes by. Returns the room of a cell without
    company.
    """
    with ray_instance(), _scratch(where, room) as scratch:
        from ray import tune

        from harness.executors.searcher import FeedScheduler, FeedSearcher

        scheduler, whole = FeedScheduler(feed), whole_room(room)

        def ended(cell_id: str) -> None:
            if cell_id not in scheduler.stopped:
                feed.died(cell_id, scheduler.errors.pop(cell_id, ""))

        tune.Tuner(
            _trainable(where, room, whole, patience=PATIENCE),
            param_space={},
            tune_config=tune.TuneConfig(
                search_alg=FeedSearcher(feed, ended),
                scheduler=scheduler,
                max_concurrent_trials=room.workers or slots(room),
                num_samples=-1,
                reuse_actors=True,
                trial_dirname_creator=_trial_name,
            ),
            run_config=tune.RunConfig(name="cells", storage_path=scratch, verbose=0),
        ).fit()
        return whole


def _scratch(where: Where, room: Room) -> AbstractContextManager[str]:
    """Return a folder for what Ray writes, which is thrown away; all machines of a cluster see the store."""
    folder = where.store / "scratch" if room.address else None
    if folder:
        folder.mkdir(exist_ok=True)
    return tempfile.TemporaryDirectory(prefix="dfkd-ray-", dir=folder, ignore_cleanup_errors=True)


def _trainable(where: Where, room: Room, whole: Room, *, patience: float = 0.0) -> Any:
    from ray import tune

    return tune.with_resources(
        tune.with_parameters(_trial, where=where, share=room.memory_share(whole), patience=patience),
        {"cpu": room.cpus, "gpu": room.gpus},
    )


def _fit(ids: Sequence[str], where: Where, room: Room) -> Outcome:
    from ray import tune

    whole = whole_room(room)
    with _scratch(where, room) as scratch:
        tuner = tune.Tuner(
            _trainable(where, room, whole),
            param_space={"cell": tune.grid_search(list(ids))},
            tune_config=tune.TuneConfig(
                reuse_actors=True, trial_dirname_creator=_trial_name, max_concurrent_trials=room.workers
            ),
            run_config=tune.RunConfig(name="cells", storage_path=scratch, verbose=0),
        )
        results = tuner.fit()
    deaths = {
        result.config["cell"]: str(result.error)
        for result in map(results.__getitem__, range(len(results)))
        if result.error and result.config
    }
    return Outcome(whole, deaths)


def _trial_name(trial: Any) -> str:
    return str(trial.config["cell"])


def _trial(config: dict[str, Any], *, where: Where, share: float, patience: float = 0.0) -> None:
    """One trial: one cell, with a ``share`` of the memory. Tune is told each epoch's metrics, which the store has."""
    from ray import tune

    spare_the_collector()
    try:
        with capped(where.device, share):
            run_cell(config["cell"], where, report=lambda record: tune.report(dict(record)), patience=patience)
    except (CellBusyError, LeaseLostError):
        return  # another process is running this very cell; its result will be in the store
