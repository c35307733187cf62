"""Seconds that the harness adds to a cell, with MLflow on, beside Ray Tune with its defaults and MLflow callback.

    python -m benchmarks.overhead --cells 200 --beside 20

Both run cells that compute nothing: one record, one result, on the same Ray instance with as many slots. What a cell
adds is the time of many less the time of few, over the difference, so that starting up does not count.
"""

import argparse
import json
import os
import shutil
import tempfile
import time
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console

from harness.executors.cluster import ENVIRONMENT
from harness.executors.tune import run_ray
from harness.inputs import Where
from harness.live import driving
from harness.mirror import Mirror, default_uri
from harness.plan import digest
from harness.progress import ProgressView
from harness.records import Plan, PlannedCell, write_json, write_plan
from harness.room import Room
from harness.rounds import Rounds
from harness.store import RunLog, Store
from harness.watch import Watch

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


def empty_trial(config: dict[str, Any], *, where: Where, share: float, patience: float = 0.0) -> None:
    """Stand in for ``harness.executors.tune._trial``: the same lease, log and result, and nothing computed."""
    from ray import tune

    store = Store(where.store)
    with store.lease(config["cell"], patience=0) as lease:
        folder = store.cell(config["cell"])
        record = {"epoch": 1, "test_accuracy": 0.5, "time": time.time(), "seconds": 0.0, **METRICS}
        RunLog(folder).append(record)
        tune.report(record)
        lease.check()
        result = {"last": 0.5, "seconds": 0.0, "environment": {}, "finished": time.time()}
        write_json(folder / "result.json", result)


def with_harness(root: Path, template: Path, cells: int) -> float:
    """Return the seconds that the harness takes for so many new cells in a store of their own."""
    store = Store(root)
    root.mkdir()
    shutil.copy(template, root / "mlflow.db")
    planned = tuple(PlannedCell(digest([str(root), i]), f"row {i}", 0) for i in range(cells))
    rows = tuple(cell.row for cell in planned)
    plan = Plan("key", "empty", "Empty cells", rows, rows[0], (0,), planned, {})
    for cell in planned:
        content = {"config": {"seed": 0}, "teacher_hash": "t", "test_fingerprint": "f", "numerics": 0}
        write_json(store.cell(cell.id) / "config.json", content)
    write_plan(root, plan)
    where, uri = Where(root, None, {}, "cpu", 1), default_uri(store)
    console = Console(file=StringIO())
    view = ProgressView(plan, plan.ids, epochs=dict.fromkeys(plan.ids, 1), store=store, console=console)
    rounds = Rounds(store, where, Room(1, 0), execute=run_ray, retries=0, say=console.print)
    watch = Watch(lambda: plan, view=view, open_mirror=lambda: Mirror.hold(uri, store))
    start = time.perf_counter()
    with driving(store, plan=plan.key, tracking_uri=uri), watch:
        rounds.run(plan.ids)
    seconds = time.perf_counter() - start
    assert all(store.read(cell_id).result for cell_id in plan.ids), "a cell has no result"
    assert watch.mirror_error is None, watch.mirror_error
    return seconds


def plain_trial(config: dict[str, Any]) -> None:
    """Report as often as ``empty_trial`` does."""
    from ray import tune

    tune.report({"epoch": 1, "test_accuracy": 0.5, **METRICS})


def with_ray_tune(root: Path, template: Path, cells: int) -> float:
    """Return the seconds that Ray Tune takes for so many trials with its defaults and its MLflow callback."""
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    root.mkdir()
    shutil.copy(template, root / "mlflow.db")
    callback = MLflowLoggerCallback(tracking_uri=f"sqlite:///{root / 'mlflow.db'}", experiment_name="plain")
    tuner = tune.Tuner(
        tune.with_resources(plain_trial, {"cpu": 1}),
        param_space={"cell": tune.grid_search(list(range(cells)))},
        run_config=tune.RunConfig(name="plain", storage_path=str(root), callbacks=[callback], verbose=0),
    )
    start = time.perf_counter()
    tuner.fit()
    return time.perf_counter() - start


def main() -> None:
    arguments = parse_arguments()
    defaults = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    import ray

    import harness.executors.tune

    harness.executors.tune._trial = empty_trial
    ray.init("local", num_cpus=arguments.slots, include_dashboard=False, log_to_driver=False)
    rows = []
    with tempfile.TemporaryDirectory(prefix="dfkd-overhead-") as folder:
        root = Path(folder)
        Mirror(f"sqlite:///{root / 'template.db'}", Store(root))
        pairs = [("harness", with_harness, arguments.cells), ("Ray Tune's defaults", with_ray_tune, arguments.beside)]
        for name, run, cells in pairs:
            if run is with_ray_tune:  # as they are without the harness
                for key, value in defaults.items():
                    os.environ.pop(key) if value is None else os.environ.update({key: value})
            few = run(root / f"{name} few", root / "template.db", FEW)
            many = run(root / f"{name} many", root / "template.db", FEW + cells)
            rows.append({"name": name, "cells": cells, "seconds": many - few, "seconds_per_cell": (many - few) / cells})
    ray.shutdown()
    for row in rows:
        print(f"{row['name']:<20} {row['seconds_per_cell']:7.3f} s a cell, over {row['cells']} added cells")
    if arguments.out:
        arguments.out.write_text(json.dumps({"slots": arguments.slots, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
