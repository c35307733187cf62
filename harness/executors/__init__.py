"""Executors: each runs the given cells and returns when none is left. What came out is in the store."""

from collections.abc import Callable, Sequence

from harness.executors.feed import Feed, Listed
from harness.executors.local import run_local, stream_local
from harness.executors.tune import run_ray, stream_ray
from harness.inputs import Where

__all__ = ["EXECUTORS", "STREAMS", "Feed", "Listed"]

EXECUTORS: dict[str, Callable[[Sequence[str], Where, float, float], None]] = {"local": run_local, "ray": run_ray}
"""Name to ``run(ids, where, cpus per trial, gpus per trial)``. A cell that fails is recorded, and the rest go on."""

STREAMS: dict[str, Callable[[Feed, Where, float, float, int | None], None]] = {
    "local": stream_local,
    "ray": stream_ray,
}
"""Name to ``run(feed, where, cpus per trial, gpus per trial, workers)``, likewise. A slot that becomes free asks for
the next cell; without a number of ``workers`` there are as many slots as the resources allow."""
