"""Ray Tune as the executor: a fresh Tuner over the missing cells, with actors that are reused from cell to cell.

Ray's own experiment state is thrown away. The store is what a later invocation goes by.
"""

import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from harness.cells import record_failure, run_cell
from harness.executors.feed import Feed
from harness.inputs import Where
from harness.store import CellBusyError, Store

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # five files a trial that say what the store says
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is ours: it stops at once, and the store knows what is done
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Keep the memory of large tensors instead of returning it to the system after every step: a fifth of a CPU step.
    "MALLOC_MMAP_THRESHOLD_": str(2**33),
    "MALLOC_TRIM_THRESHOLD_": str(2**33),
}


@contextmanager
def _ray_instance() -> Iterator[None]:
    """Use the Ray instance that this process has, or start one and stop it afterwards."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray

    started = not ray.is_initialized()
    if started:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield
    finally:
        if started:
            ray.shutdown()


def run_ray(ids: Sequence[str], where: Where, cpus_per_trial: float, gpus_per_trial: float) -> None:
    """Run the cells as trials of one Tuner, first in first out, as many at a time as the resources allow.

    Uses the Ray instance that this process has, or starts one and stops it afterwards.
    """
    with _ray_instance():
        _fit(ids, where, cpus_per_trial, gpus_per_trial)


def stream_ray(feed: Feed, where: Where, cpus_per_trial: float, gpus_per_trial: float, workers: int | None) -> None:
    """Run the feed's cells as trials of one Tuner, ``workers`` at a time, or as many as the resources allow.

    Tune asks the feed for trials; it neither knows nor keeps what the feed goes by.
    """
    with _ray_instance():
        import ray
        from ray import tune

        from harness.executors.searcher import FeedScheduler, FeedSearcher

        room = ray.cluster_resources()
        slots = [
            room.get("CPU", 1) / cpus_per_trial,
            *([room.get("GPU", 0) / gpus_per_trial] if gpus_per_trial else []),
        ]
        scheduler = FeedScheduler(feed)

        def ended(cell_id: str) -> None:
            if cell_id not in scheduler.stopped:
                _note_silent_death(Store(where.store), cell_id, "no more is known")

        with tempfile.TemporaryDirectory(prefix="dfkd-ray-") as scratch:
            tune.Tuner(
                _trainable(where, cpus_per_trial, gpus_per_trial),
                param_space={},
                tune_config=tune.TuneConfig(
                    search_alg=FeedSearcher(feed, ended),
                    scheduler=scheduler,
                    max_concurrent_trials=workers or max(1, int(min(slots))),
                    num_samples=-1,
                    reuse_actors=True,
                    trial_dirname_creator=_trial_name,
                ),
                run_config=tune.RunConfig(name="cells", storage_path=scratch, verbose=0),
            ).fit()


def _trainable(where: Where, cpus_per_trial: float, gpus_per_trial: float) -> Any:
    from ray import tune

    return tune.with_resources(
        tune.with_parameters(_trial, where=where), {"cpu": cpus_per_trial, "gpu": gpus_per_trial}
    )


def _fit(ids: Sequence[str], where: Where, cpus_per_trial: float, gpus_per_trial: float) -> None:
    from ray import tune

    with tempfile.TemporaryDirectory(prefix="dfkd-ray-") as scratch:
        tuner = tune.Tuner(
            _trainable(where, cpus_per_trial, gpus_per_trial),
            param_space={"cell": tune.grid_search(list(ids))},
            tune_config=tune.TuneConfig(reuse_actors=True, trial_dirname_creator=_trial_name),
            run_config=tune.RunConfig(name="cells", storage_path=scratch, verbose=0),
        )
        results = tuner.fit()
    store = Store(where.store)
    errors = {
        result.config["cell"]: result.error
        for result in map(results.__getitem__, range(len(results)))
        if result.error and result.config
    }
    for cell_id in ids:
        _note_silent_death(store, cell_id, str(errors.get(cell_id, "no error")).strip())


def _note_silent_death(store: Store, cell_id: str, error: str) -> None:
    """Record a failure where a worker was killed, by the system for want of memory say, and had no time to."""
    if store.read(cell_id).status == "todo" and not store.is_running(cell_id):
        summary = f"The worker process ended without a word: {error.splitlines()[-1]}"
        record_failure(store, cell_id, error=summary, trace=error)


def _trial_name(trial: Any) -> str:
    return str(trial.config["cell"])


def _trial(config: dict[str, Any], *, where: Where) -> None:
    """One trial: one cell. Tune is told each epoch's metrics; the store has them already."""
    from ray import tune

    try:
        run_cell(config["cell"], where, report=lambda record: tune.report(dict(record)))
    except CellBusyError:
        return  # another process is running this very cell; its result will be in the store
