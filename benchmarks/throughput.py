"""Cells an hour of ``table3`` on digits, beside the same trainer in plain trials of Ray Tune, and how long a free slot
waits for the next cell's first step.

    python -m benchmarks.throughput --seeds 3 --rounds 2

The other side is what one writes first: a function that loads images and teacher, trains, and reports each epoch, with
Ray Tune's defaults and its MLflow callback. Sides take turns on one Ray instance, each time with a new store; their
time is from the plan to the last result, MLflow included. Networks are built anew for every cell on both sides; the
wait leaves that out.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from rich.console import Console

from benchmarks.overhead import harness_environment, make_mlflow_tables, start_ray, tune_plainly
from benchmarks.store import DFKD
from dfkd.config import RunConfig
from dfkd.evaluation import load_test_images
from dfkd.loop import distill
from dfkd.overrides import flatten, with_overrides
from dfkd.teacher import load_teacher
from harness.driver import Prepared, prepare, run_plan
from harness.environment import environment
from harness.inputs import Where
from harness.plan import expand
from harness.room import Room
from harness.store import Store
from search_spaces import load_grid

GRID, DATASET = "table3", "digits"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__.splitlines()[0])
    parser.add_argument("--budget", default="smoke")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--out", type=Path, help="write the JSON here")
    return parser.parse_args()


def make_template(root: Path) -> Path:
    """Return a store with a teacher and MLflow's tables."""
    store = Store(root / "template")
    command = [*DFKD, "teacher", DATASET, "--store", str(store.root)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    make_mlflow_tables(store)
    return store.root


def planned(store: Store, budget: str, seeds: int) -> Prepared:
    """Return the grid's cells with their teacher."""
    request = expand(load_grid(GRID), dataset=DATASET, budget=budget, seeds=tuple(range(seeds)), settings={})
    return prepare(request, store=store, data_root=None, teacher=None, teacher_needed=True, cache=True)


def marked_trial(config: dict[str, Any], *, where: Where, share: float, patience: float = 0.0) -> None:
    """Do what ``harness.executors.tune._trial`` does, and note when, beside the store."""
    import dfkd.loop
    from harness.executors.tune import _trial

    marks: dict[str, float] = {}
    build, train = dfkd.loop._learners, dfkd.loop._train_epoch

    def timed_build(*args: Any, **more: Any) -> Any:
        start = time.monotonic()
        built = build(*args, **more)
        marks["building"] = time.monotonic() - start
        return built

    def noted_train(*args: Any, **more: Any) -> Any:
        marks.setdefault("first_step", time.monotonic())
        return train(*args, **more)

    with patch("dfkd.loop._learners", timed_build), patch("dfkd.loop._train_epoch", noted_train):
        _trial(config, where=where, share=share, patience=patience)
    marks["end"] = time.monotonic()
    with (where.store.parent / f"marks-{os.getpid()}.jsonl").open("a") as file:
        file.write(json.dumps(marks) + "\n")


def waits(folder: Path) -> list[float]:
    """Return of each cell but a process's first the seconds from the end of the one before to its first step, without
    those in which its networks were built."""
    found = []
    for path in folder.glob("marks-*.jsonl"):
        marks = [json.loads(line) for line in path.read_text().splitlines()]
        found += [mark["first_step"] - before["end"] - mark["building"] for before, mark in pairwise(marks)]
        path.unlink()
    return found


def with_harness(root: Path, template: Path, budget: str, seeds: int) -> float:
    """Return the seconds from the plan to the results, in a store and in MLflow."""
    store, said = Store(Path(shutil.copytree(template, root))), StringIO()
    start = time.perf_counter()
    prepared = planned(store, budget, seeds)
    with patch("harness.executors.tune._trial", marked_trial):
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
    assert all(store.read(cell_id).result for cell_id in prepared.cells), "a cell has no result"
    assert "MLflow was not written" not in said.getvalue(), said.getvalue()
    return seconds


def plain_trial(config: dict[str, Any]) -> None:
    """Load images and teacher, train, report each epoch."""
    from ray import tune

    torch.set_num_threads(1)
    place = Path(tune.get_context().get_trial_dir())
    run = with_overrides(RunConfig(), config["cell"]["config"])
    test = load_test_images(run.data, root=None, cache=None)
    teacher = load_teacher(run, Path(config["cell"]["teacher"]), class_names=test.class_names)
    for record in distill(run, teacher=teacher, test=test, device=torch.device("cpu"), state_path=place / "state.pt"):
        tune.report(dict(record))


def with_ray_tune(root: Path, template: Path, budget: str, seeds: int) -> float:
    """Return the seconds that the same cells take as plain trials."""
    prepared = planned(Store(template), budget, seeds)
    cells = [
        {"config": flatten(cell.config), "teacher": str(prepared.inputs_of(cell.config).teacher_path)}
        for cell in prepared.cells.values()
    ]
    return tune_plainly(plain_trial, cells, root=root, template=template)


def main() -> None:
    arguments = parse_arguments()
    sides = {"harness": with_harness, "Ray Tune's defaults": with_ray_tune}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    waited: list[float] = []
    start_ray(arguments.slots)
    with tempfile.TemporaryDirectory(prefix="dfkd-throughput-") as folder:
        root = Path(folder)
        template = make_template(root)
        cells = len(planned(Store(template), arguments.budget, arguments.seeds).cells)
        for number in range(arguments.rounds):
            for name, run in sides.items():
                with harness_environment(run is with_harness):
                    seconds[name].append(run(root / f"{name} {number}", template, arguments.budget, arguments.seeds))
            waited += waits(root)
    rates = {name: [3600 * cells / each for each in values] for name, values in seconds.items()}
    ratios = [ours / theirs for ours, theirs in zip(*rates.values(), strict=True)]
    for name, values in rates.items():
        print(f"{name:<20} {statistics.median(values):7.0f} cells an hour, {cells} cells of {GRID} on {DATASET}")
    middle, waiting = statistics.median(ratios), statistics.median(waited)
    print(f"{middle:.2f} times as many; of {len(ratios)} rounds {min(ratios):.2f} to {max(ratios):.2f}")
    print(f"{waiting:.3f} s from a free slot to the first step; of {len(waited)} cells at most {max(waited):.3f}")
    if arguments.out:
        content = {
            "budget": arguments.budget,
            "cells": cells,
            "slots": arguments.slots,
            "environment": environment(torch.device("cpu")),
            "seconds": seconds,
            "ratios": ratios,
            "waits": waited,
        }
        arguments.out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
