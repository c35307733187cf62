"""Executors: each runs the given cells and returns when none is left. What came out is in the store."""

from collections.abc import Callable

from harness.executors.feed import Feed
from harness.executors.local import run_local, stream_local
from harness.executors.tune import run_ray, stream_ray
from harness.inputs import Where
from harness.room import Room
from harness.rounds import Execute

__all__ = ["EXECUTORS", "STREAMS", "Feed"]

EXECUTORS: dict[str, Execute] = {"local": run_local, "ray": run_ray}
"""Name to ``run(ids, where, room)``. A cell that fails is recorded, and the rest go on."""

STREAMS: dict[str, Callable[[Feed, Where, Room], Room]] = {"local": stream_local, "ray": stream_ray}
"""Name to ``run(feed, where, room)``, likewise; it returns the room of a cell without company. A slot that becomes free
asks for the next cell."""
