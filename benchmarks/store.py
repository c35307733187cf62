"""Wall time and peak memory of plan, status and report on a store of many finished cells.

    python -m benchmarks.store --cells 10000 --epochs 20

The cells are made up: real configurations and identities of one grid on digits, with results and logs as training
writes them. Each command is a process of its own; what it takes includes its start, which is nearly all that the same
command takes on a store of one row, measured first.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from harness.driver import prepare
from harness.environment import environment
from harness.fingerprint import fingerprint
from harness.layers import parse_settings
from harness.plan import expand
from harness.records import write_plan
from harness.store import Store, open_store
from search_spaces import load_grid

SEEDS = 5
SETTINGS = ("teacher.architecture=resnet8", "teacher.epochs=1", "student.architecture=resnet8", "data.classes=first:3")
DFKD = [sys.executable, "-c", "from harness.cli.main import main; main()"]
WITH_PEAK = """
import atexit, pathlib, re, sys
path = pathlib.Path(sys.argv.pop(1))
def write_peak():
    path.write_text(re.search(r"VmHWM:\\s*([0-9]+) kB", pathlib.Path("/proc/self/status").read_text())[1])
atexit.register(write_peak)
from harness.cli.main import main
main()
"""
"""The same, leaving its own peak (KiB) in a file at its end: ``ru_maxrss`` begins at what its parent had when it
forked, so that a small command would seem as large as this benchmark."""


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.store", description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=20, help="lines of each cell's log")
    parser.add_argument("--out", type=Path, help="write the JSON here")
    return parser.parse_args()


def write_grid(path: Path, rows: int) -> None:
    """Write a grid of so many rows: the method with as many weights of L_SFCL."""
    lines = ['title = "Many"', 'reference = "row 0"']
    for row in range(rows):
        lines += ["[[row]]", f'name = "row {row}"', f'set = {{ "student_loss.sfcl.weight" = {(row + 1) / 100} }}']
    path.write_text("\n".join(lines) + "\n")


def fill(store: Store, grid: Path, *, epochs: int, about: Mapping[str, Any]) -> int:
    """Plan the grid in a store that has its teacher and make up its results, computed ``about`` so; return the number
    of cells."""
    request = expand(
        load_grid(str(grid)),
        dataset="digits",
        budget="smoke",
        seeds=tuple(range(SEEDS)),
        settings=parse_settings(SETTINGS),
    )
    prepared = prepare(request, store=store, data_root=None, teacher=None, teacher_needed=True, cache=True)
    write_plan(store.root, prepared.plan)
    for number, (cell_id, cell) in enumerate(prepared.cells.items()):
        record = cell.record()
        folder = store.cell(cell_id)
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(record, indent=1, sort_keys=True))
        (folder / "log.jsonl").write_text("".join(json.dumps(_epoch(epoch, number)) + "\n" for epoch in range(epochs)))
        result = {"last": 0.5 + number % 97 / 1000, "best_on_test": 0.6, "best_epoch": 1, "final_mean": 0.5}
        result |= {"final_sd": 0.01, "final_epochs": 10, "seconds": 10.0, "cpu_seconds": 10.0, "finished": time.time()}
        made = {"environment": about, "trainer": [fingerprint(record["config"])], "images_per_second": 100.0}
        (folder / "result.json").write_text(json.dumps({**result, **made}, indent=1))
    return len(prepared.cells)


def _epoch(epoch: int, number: int) -> dict[str, Any]:
    """Return a record with as many entries as training writes."""
    terms = {f"student_loss.term_{i}": 0.123456789 * (i + 1) for i in range(24)}
    times = {"seconds": 0.5, "cpu_seconds": 0.5, "images_per_second": 100.0, "time": 1e9 + epoch}
    steps = {"generator_step_seconds": 0.2, "student_step_seconds": 0.2}
    return {"epoch": epoch + 1, **terms, **times, **steps, "test_accuracy": 0.5 + number % 7 / 100}


def measure(command: list[str]) -> dict[str, Any]:
    """Run a command; return its wall seconds, processor seconds and peak memory in GiB."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="dfkd-peak-") as folder:
        path = Path(folder) / "peak"
        process = subprocess.Popen([sys.executable, "-c", WITH_PEAK, str(path), *command], stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0, command
        peak = int(path.read_text())
    processor = used.ru_utime + used.ru_stime
    wall = time.perf_counter() - start
    return {"command": command[0], "seconds": wall, "processor_seconds": processor, "gib": peak / 2**20}


def measure_store(rows: int, epochs: int, about: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what each command takes on a store of so many rows of ``SEEDS`` cells."""
    with tempfile.TemporaryDirectory(prefix="dfkd-store-") as folder:
        grid, store = Path(folder) / "many.toml", open_store(Path(folder) / "runs")
        write_grid(grid, rows)
        sets = [part for setting in SETTINGS for part in ("--set", setting)]
        options = ["--store", str(store.root), *sets]
        subprocess.run([*DFKD, "teacher", "digits", *options], check=True, stdout=subprocess.DEVNULL)
        cells = fill(store, grid, epochs=epochs, about=about)
        seeds = ["--seeds", ",".join(map(str, range(SEEDS)))]
        of_grid = [str(grid), "--budget", "smoke", *seeds, *options]
        commands = [["plan", *of_grid], ["status", "--store", str(store.root)], ["report", *of_grid]]
        return [measure(command) | {"cells": cells} for command in commands]


def main() -> None:
    arguments = parse_arguments()
    about = environment(torch.device("cpu"))
    rows = [
        row
        for number in (1, max(1, arguments.cells // SEEDS))
        for row in measure_store(number, arguments.epochs, about)
    ]
    for row in rows:
        print(
            f"{row['command']:<8} {row['cells']:6} cells  {row['seconds']:6.2f} s  "
            f"{row['processor_seconds']:6.2f} s of processor time  {row['gib']:5.2f} GiB"
        )
    if arguments.out:
        content = {"epochs": arguments.epochs, "environment": about, "rows": rows}
        arguments.out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
