"""Executors: each runs the given cells and returns when none is left. What came out is in the store."""

from collections.abc import Callable, Sequence

from harness.executors.local import run_local
from harness.executors.tune import run_ray
from harness.inputs import Where

EXECUTORS: dict[str, Callable[[Sequence[str], Where, float, float], None]] = {"local": run_local, "ray": run_ray}
"""Name to ``run(ids, where, cpus per trial, gpus per trial)``. A cell that fails is recorded, and the rest go on."""
