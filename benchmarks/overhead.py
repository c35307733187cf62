"""Seconds that the harness adds to a cell, with MLflow on, beside Ray Tune with its defaults and MLflow callback.

    python -m benchmarks.overhead --cells 200 --beside 20

Both run cells that train nothing, on the same Ray instance with as many slots. The harness does all that it does with a
cell, from the plan to the result, with a teacher and images loaded; where it would train, a finished state is copied.
A trial of Ray Tune reports one record and does nothing else. What a cell adds is the time of many less the time of few,
over the difference, so that starting up does not count.
"""

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from rich.console import Console

from benchmarks.store import DFKD, SETTINGS, write_grid
from dfkd.config import RunConfig
from dfkd.evaluation import load_test_images
from dfkd.loop import Record, distill
from harness.driver import prepare, run_plan
from harness.environment import environment
from harness.executors.cluster import ENVIRONMENT
from harness.inputs import Where
from harness.layers import parse_settings
from harness.mirror import Mirror
from harness.plan import Request, expand
from harness.records import read_log
from harness.room import Room
from harness.store import RunLog, Store
from search_spaces import load_grid

FEW = 4
"""Cells of the shorter run of each pair."""

METRICS = {f"metric_{i}": 0.5 for i in range(20)}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=200, help="of the harness")
    parser.add_argument("--beside", type=int, default=20, help="of Ray Tune with its defaults")
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--out", type=Path, help="write the JSON here")
    return parser.parse_args()


def untrained(config: RunConfig, *, state_path: Path, made: Path, **_: Any) -> Iterator[Record]:
    """Stand in for ``dfkd.loop.distill``: give state and records of the run in the folder ``made``; train nothing."""
    shutil.copy(made / "state.pt", state_path)
    yield from read_log(made)


def untrained_trial(config: dict[str, Any], *, where: Where, share: float, patience: float = 0.0) -> None:
    """Stand in for ``harness.executors.tune._trial``: the same in a worker, but for the training itself."""
    from harness.executors.tune import _trial

    with patch("harness.cells.distill", partial(untrained, made=where.store.parent / "made")):
        _trial(config, where=where, share=share, patience=patience)


def request(grid: Path) -> Request:
    """Return the cells of a grid file on digits, one seed and one epoch each."""
    settings = parse_settings((*SETTINGS, "schedule.epochs=1", "schedule.iterations_per_epoch=1"))
    return expand(load_grid(str(grid)), dataset="digits", budget="smoke", seeds=(0,), settings=settings)


def make_mlflow_tables(store: Store) -> None:
    """Put MLflow's tables into the store, in a file that can be copied: its write-ahead log holds nothing."""
    live_path = store.root.with_name("live.db")
    Mirror(f"sqlite:///{live_path}", store)
    with sqlite3.connect(live_path) as live, sqlite3.connect(store.root / "mlflow.db") as template:
        live.backup(template)


def fill_template(root: Path) -> Path:
    """Return a store below ``root`` with a teacher and MLflow's tables, and leave a cell's state and log beside it."""
    store, sets = Store(root / "template"), [part for setting in SETTINGS for part in ("--set", setting)]
    train = [*DFKD, "teacher", "digits", "--store", str(store.root), *sets]
    subprocess.run(train, check=True, stdout=subprocess.DEVNULL)
    make_mlflow_tables(store)
    write_grid(root / "one.toml", 1)
    prepared = prepare(
        request(root / "one.toml"), store=store, data_root=None, teacher=None, teacher_needed=True, cache=True
    )
    (cell,) = prepared.cells.values()
    teacher = prepared.inputs_of(cell.config).teacher
    assert teacher is not None
    test = load_test_images(cell.config.data, root=None, cache=store.cache)
    device = torch.device("cpu")
    made = root / "made"
    made.mkdir()
    for record in distill(cell.config, teacher=teacher.build(), test=test, device=device, state_path=made / "state.pt"):
        RunLog(made).append(record)
    return store.root


def with_harness(root: Path, template: Path, cells: int) -> float:
    """Return the seconds from a grid file to the results of so many new cells, in a store and in MLflow."""
    store, grid = Store(Path(shutil.copytree(template, root))), root.with_suffix(".toml")
    write_grid(grid, cells)
    said = StringIO()
    start = time.perf_counter()
    prepared = prepare(request(grid), store=store, data_root=None, teacher=None, teacher_needed=True, cache=True)
    run_plan(
        prepared,
        store=store,
        data_root=None,
        device="cpu",
        executor="ray",
        room=Room(1, 0),
        tracking_uri=None,
        console=Console(file=said),
    )
    seconds = time.perf_counter() - start
    assert len(prepared.cells) == cells, f"{len(prepared.cells)} cells are not {cells}"
    assert all(store.read(cell_id).result for cell_id in prepared.cells), "a cell has no result"
    assert "MLflow was not written" not in said.getvalue(), said.getvalue()
    return seconds


def plain_trial(config: dict[str, Any]) -> None:
    """Report once, as a cell of one epoch does, and do nothing else."""
    from ray import tune

    tune.report({"epoch": 1, "test_accuracy": 0.5, **METRICS})


def with_ray_tune(root: Path, template: Path, cells: int) -> float:
    """Return the seconds that Ray Tune takes for so many trials with its defaults and its MLflow callback."""
    return tune_plainly(plain_trial, list(range(cells)), root=root, template=template)


def tune_plainly(trial: Callable[[dict[str, Any]], None], cells: list[Any], *, root: Path, template: Path) -> float:
    """Return the seconds that Ray Tune takes with its defaults and its MLflow callback to call ``trial`` with each of
    ``cells`` as the configuration's ``cell``."""
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    root.mkdir()
    shutil.copy(template / "mlflow.db", root)
    start = time.perf_counter()
    callback = MLflowLoggerCallback(tracking_uri=f"sqlite:///{root / 'mlflow.db'}", experiment_name="plain")
    tuner = tune.Tuner(
        tune.with_resources(trial, {"cpu": 1}),
        param_space={"cell": tune.grid_search(cells)},
        run_config=tune.RunConfig(name="plain", storage_path=str(root), callbacks=[callback], verbose=0),
    )
    tuner.fit()
    return time.perf_counter() - start


@contextmanager
def harness_environment(wanted: bool) -> Iterator[None]:
    """Within, the driver's variables are as the harness sets them, or else as they are without it."""
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    if wanted:
        os.environ.update(ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def start_ray(slots: int) -> None:
    """Start the Ray instance that both sides use; its workers have the harness's environment."""
    import ray

    with harness_environment(True):
        ray.init("local", num_cpus=slots, include_dashboard=False, log_to_driver=False)


def main() -> None:
    arguments = parse_arguments()
    rows = []
    start_ray(arguments.slots)
    with tempfile.TemporaryDirectory(prefix="dfkd-overhead-") as folder:
        root = Path(folder)
        template = fill_template(root)
        pairs = [("harness", with_harness, arguments.cells), ("Ray Tune's defaults", with_ray_tune, arguments.beside)]
        for name, run, cells in pairs:
            of_harness = run is with_harness
            with harness_environment(of_harness), patch("harness.executors.tune._trial", untrained_trial):
                few, many = run(root / f"{name} few", template, FEW), run(root / f"{name} many", template, FEW + cells)
            rows.append({"name": name, "cells": cells, "seconds": many - few, "seconds_per_cell": (many - few) / cells})
    for row in rows:
        print(f"{row['name']:<20} {row['seconds_per_cell']:7.3f} s a cell, over {row['cells']} added cells")
    if arguments.out:
        content = {"slots": arguments.slots, "environment": environment(torch.device("cpu")), "rows": rows}
        arguments.out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
