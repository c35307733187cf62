"""How long tables take from a large store: `python benchmarks/report.py --runs 10000 --out DIR`.

The store is synthetic: one grid of so many runs, each with a configuration, a result and a log as real ones have them.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from dfkd.config import RunConfig
from dfkd.overrides import flatten
from harness.records import Plan, PlannedCell, write_plan

SEEDS = 5
EPOCHS = 20


def write_store(root: Path, runs: int) -> None:
    """Write a store with one plan of ``runs`` finished runs, ``SEEDS`` a row."""
    rows = tuple(f"row {i}" for i in range(runs // SEEDS))
    cells = tuple(PlannedCell(f"{i:08x}{seed:08x}", row, seed) for i, row in enumerate(rows) for seed in range(SEEDS))
    context = {"dataset": "Digits", "classes": 10, "image_size": 16, "student": "resnet8", "epochs": EPOCHS}
    plan = Plan("0" * 16, "large", "Many rows", rows, rows[0], tuple(range(SEEDS)), cells, context)
    config = flatten(RunConfig()) | {"schedule.epochs": EPOCHS}
    machine = {"processor": "P", "device": "cpu", "threads": 1, "python": "3", "torch": "2", "torchvision": "0"}
    numbers = {"best_epoch": 3, "final_sd": 0.01, "final_epochs": 10, "images_per_second": 20.0, "finished": 0.0}
    generator = random.Random(0)
    write_plan(root, plan)
    for cell in cells:
        folder = root / "cells" / cell.id
        folder.mkdir(parents=True)
        content = {"id": cell.id, "config": config | {"seed": cell.seed}, "canonical": {"seed": cell.seed}}
        made_from = {"teacher_hash": "t" * 64, "test_fingerprint": "f" * 64, "train_fingerprint": None, "numerics": 3}
        accuracy = generator.random()
        result = {"last": accuracy, "best_on_test": accuracy, "final_mean": accuracy, "environment": machine}
        result |= numbers | {"seconds": 60.0, "cpu_seconds": 60.0, "trainer": ["f" * 16]}
        (folder / "config.json").write_text(json.dumps(content | made_from, indent=1))
        (folder / "result.json").write_text(json.dumps(result, indent=1))
        records = [{"epoch": e, "time": float(e), "test_accuracy": accuracy} for e in range(1, EPOCHS + 1)]
        (folder / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def timed(name: str, work: Callable[[], object]) -> None:
    """Print how long ``work`` took, and how much of that this process computed."""
    start, processor = time.perf_counter(), time.process_time()
    work()
    spent = time.process_time() - processor
    print(f"{name:<24} {time.perf_counter() - start:6.2f} s, of which {spent:6.2f} s on the processor")


def main() -> None:
    """Write the store unless it is there, and time what a table takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--out", type=Path, help="keep the store here; by default it is thrown away")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = given.out or Path(scratch) / "runs"
        if not (root / "plans").exists():
            write_store(root, given.runs)
        from reports import COLUMNS, ablation_sheet, choose_plan, load_runs, open_source, runs_frame, write

        plan = choose_plan(open_source(root))
        timed("frame", lambda: load_runs(root))
        frame = runs_frame(root, plan)
        timed("table of the frame", lambda: write(ablation_sheet(frame, plan=plan), "markdown"))
        every = tuple(COLUMNS)
        timed("all columns", lambda: write(ablation_sheet(frame, plan=plan, columns=every), "markdown"))
        timed("frame and table", lambda: write(ablation_sheet(runs_frame(root, plan), plan=plan), "markdown"))


if __name__ == "__main__":
    main()
