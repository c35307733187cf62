"""What a step costs against the attention's order R, the number of classes K, the batch and the image size.

    python -m benchmarks.scaling --set teacher.architecture=resnet18 --set student.architecture=resnet10_half \
        --set compute.channels_last=true --over orders --over classes --over batch --over size

One table for each axis, on which all else is as configured. Seconds are timed in turn by ``benchmarks.step`` with the
networks of all points in one process; the peak memory is of a process for each point, a step of each kind after
another. Ratios are to an axis's first point; the last column is of both steps together, for each image of the batch.
"""

import argparse
import copy
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import step
from dfkd.allocation import memory_kept

AXES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "orders": ("R", {str(r): f"student_loss.mhad.orders={'+'.join(map(str, range(1, r + 1)))}" for r in range(1, 7)}),
    "classes": ("K", {str(k): f"classes={k}" for k in (10, 100, 200, 1000)}),
    "batch": ("images", {str(n): f"schedule.batch_size={n}" for n in (4, 8, 16, 32, 64)}),
    "size": ("pixels", {str(n): f"data.image_size={n}" for n in (32, 48, 64, 96, 128)}),
}
"""By name: what its points are called, and the setting of each point."""

STEP = [sys.executable, "-m", "benchmarks.step"]


def parse_arguments() -> argparse.Namespace:
    summary = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=summary)
    parser.add_argument("--over", action="append", choices=list(AXES), help="an axis, or several; default: all")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for all points")
    parser.add_argument("--image-size", type=int, default=64, help="where it is not the axis")
    parser.add_argument("--batch-size", type=int, default=16, help="where it is not the axis")
    parser.add_argument("--classes", type=int, default=100, help="where it is not the axis")
    parser.add_argument("--rounds", type=int, default=5, help="timed steps of each kind")
    parser.add_argument("--warm-up", type=int, default=1, help="rounds before the first that counts")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, help="write the JSON here")
    return parser.parse_args()


def common(arguments: argparse.Namespace) -> list[str]:
    """Return the settings of all points."""
    sizes = [f"data.image_size={arguments.image_size}", f"schedule.batch_size={arguments.batch_size}"]
    return [*sizes, *arguments.set]


def peak_memory(arguments: argparse.Namespace, setting: str) -> float:
    """Return the peak in bytes of a process that takes two steps of each kind at one point."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "row.json"
        sets = [part for each in common(arguments) for part in ("--set", each)]
        sizes = ["--classes", str(arguments.classes), "--threads", str(arguments.threads)]
        rounds = ["--rounds", "1", "--warm-up", "1", "--device", arguments.device, "--out", str(out)]
        subprocess.run([*STEP, *sets, "--variant", "point", setting, *sizes, *rounds], check=True, capture_output=True)
        return json.loads(out.read_text())["rows"][0]["peak_memory_bytes"]


def measure(arguments: argparse.Namespace, axis: str) -> list[dict[str, Any]]:
    """Return a row for each point of ``axis``: seconds a step, ratios to the first, bytes at the peak."""
    points = AXES[axis][1]
    asked = copy.copy(arguments)
    asked.set, asked.variant = common(arguments), [[name, setting] for name, setting in points.items()]
    rows = step.measure(asked)
    batch = {name: int(name) if axis == "batch" else arguments.batch_size for name in points}
    return [
        {
            **row,
            "seconds_per_image": (float(row["generator_step_seconds"]) + float(row["student_step_seconds"]))
            / batch[name],
            "peak_memory_bytes": peak_memory(arguments, setting),
        }
        for row, (name, setting) in zip(rows, points.items(), strict=True)
    ]


def print_table(axis: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print one axis, as Markdown."""
    print(f"| {AXES[axis][0]} | generator step (s) | student step (s) | ratios | peak (GiB) | both, an image (ms) |")
    print("|--:|--:|--:|--:|--:|--:|")
    for row in rows:
        ratios = f"{row['generator_step_ratio']:.2f}, {row['student_step_ratio']:.2f}"
        seconds = f"{row['generator_step_seconds']:.3f} | {row['student_step_seconds']:.3f}"
        peak = f"{row['peak_memory_bytes'] / 2**30:.2f}"
        print(f"| {row['variant']} | {seconds} | {ratios} | {peak} | {1000 * row['seconds_per_image']:.1f} |")
    print()


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    measured = {}
    for axis in arguments.over or AXES:
        with memory_kept():
            measured[axis] = measure(arguments, axis)
        print_table(axis, measured[axis])
    about = step.environment(torch.device(arguments.device)) | {"rounds": arguments.rounds}
    content = {"settings": common(arguments), "classes": arguments.classes, "environment": about, "axes": measured}
    if arguments.out:
        arguments.out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
