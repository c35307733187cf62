"""Probes side by side: processes that take a cell's steps at the same time, to see what company costs."""

import multiprocessing
import os
import resource
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from queue import Empty
from typing import Any

import torch

from dfkd.allocation import memory_kept
from dfkd.config import RunConfig
from dfkd.overrides import flatten
from dfkd.teacher import load_teacher
from harness.memory import available_memory
from harness.packing import Measured, Packing, candidates, choose, next_company
from harness.plan import Cell, digest
from harness.probe import steps_of
from harness.records import read_json, write_json
from harness.shape import shape_of
from harness.store import Store

ROUNDS = 3
"""Rounds of steps that are measured in each process, after one that is not."""

PATIENCE = 600.0
"""Seconds after which processes that take no steps are given up."""


class ProbeError(RuntimeError):
    """A probe came to nothing."""


def costliest(cells: Sequence[Cell]) -> RunConfig:
    """Return the configuration with the largest images and the most switched on: the others fit where it fits."""
    return max((cell.config for cell in cells), key=lambda c: (c.data.image_size, len(shape_of(flatten(c)))))


@memory_kept()
def _take_steps(
    config: RunConfig,
    teacher_path: Path,
    class_names: tuple[str, ...],
    data_root: Path | None,
    device: str,
    threads: int,
    gate: Any,
    results: Any,
) -> None:
    """Run in a process of its own: get ready, wait for the others, take steps, report seconds and peak memory."""
    try:
        torch.set_num_threads(threads)
        place = torch.device(device)
        before = torch.cuda.mem_get_info(place)[0] if place.type == "cuda" else 0
        teacher = load_teacher(config, teacher_path, class_names=class_names)
        steps = steps_of(config, teacher=teacher, data_root=data_root, device=place)
        for step in steps.values():
            step()
        gate.wait(PATIENCE)
        start = time.perf_counter()
        for _ in range(ROUNDS):
            for phase, step in steps.items():
                for _ in range(getattr(config.schedule, f"{phase}_steps")):
                    step()
        if place.type == "cuda":
            torch.cuda.synchronize(place)
        seconds = (time.perf_counter() - start) / ROUNDS
        gate.wait(PATIENCE)  # nobody leaves while another is still measured
        results.put((seconds, _peak(place, before), None))
    except BaseException as error:  # whatever it was, the driver must hear of it
        gate.abort()
        results.put((0.0, 0, f"{type(error).__name__}: {error}"))


def _peak(device: torch.device, before: int) -> int:
    """Return the peak of this process: on a GPU what PyTorch reserved and what the context took."""
    if device.type == "cuda":
        context = max(0, before - torch.cuda.mem_get_info(device)[0] - torch.cuda.memory_reserved(device))
        return torch.cuda.max_memory_reserved(device) + context
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(
    config: RunConfig,
    *,
    cells: int,
    threads: int,
    teacher: Path,
    class_names: tuple[str, ...],
    data_root: Path | None,
    device: str,
) -> Measured:
    """Return what ``cells`` processes at once, with so many ``threads`` each, took for their steps.

    Raises:
        ProbeError: a process failed, for want of memory say.
    """
    context = multiprocessing.get_context("spawn")
    gate, results = context.Barrier(cells), context.Queue()
    arguments = (config, teacher, class_names, data_root, device, threads, gate, results)
    processes = [context.Process(target=_take_steps, args=arguments, daemon=True) for _ in range(cells)]
    try:
        for process in processes:
            process.start()
        found = [results.get(timeout=2 * PATIENCE) for _ in processes]
    except Empty:
        raise ProbeError(f"{cells} probes at once did not end.") from None
    finally:
        for process in processes:
            process.join(10)
            process.kill()
    if errors := [error for *_, error in found if error]:
        raise ProbeError(f"{cells} probes at once: {errors[0]}")
    return Measured(cells, threads, max(seconds for seconds, *_ in found), max(memory for _, memory, _ in found))


def pack(
    config: RunConfig,
    store: Store,
    *,
    machine: dict[str, Any],
    teacher: Path,
    class_names: tuple[str, ...],
    data_root: Path | None,
    device: str,
    cpus_per_trial: float,
) -> tuple[Packing, bool]:
    """Return how many cells like ``config`` to run side by side here, and whether it was measured now.

    A decision is kept in the store and taken again for cells of the same shape on the same machine, so that a resumed
    run has as many threads as before.
    """
    made_for = [[list(pair) for pair in shape_of(flatten(config))], {**machine, "threads": os.cpu_count()}]
    path = store.root / "packings" / f"{digest(made_for)}.json"
    if (known := read_json(path)) is not None:
        return Packing(**known["packing"]), False
    available = available_memory(device)
    about: dict[str, Any] = {"teacher": teacher, "class_names": class_names, "data_root": data_root, "device": device}
    if device.startswith("cuda"):
        measured = _on_gpu(config, available, threads=max(1, int(cpus_per_trial)), about=about)
    else:
        measured = [measure(config, cells=cells, threads=threads, **about) for cells, threads in _shares()]
    packing = choose(measured, available=available)
    write_json(path, {"packing": asdict(packing), "measured": [asdict(each) for each in measured]})
    return packing, True


def _shares() -> list[tuple[int, int]]:
    """Return what to measure on the processor: at most five ways to divide it, the extremes among them."""
    every = candidates(os.cpu_count() or 1)
    if len(every) <= 5:
        return every
    return [every[round(i * (len(every) - 1) / 4)] for i in range(5)]


def _on_gpu(config: RunConfig, available: int, *, threads: int, about: dict[str, Any]) -> list[Measured]:
    measured = [measure(config, cells=1, threads=threads, **about)]
    most = max(1, (os.cpu_count() or 1) // threads)
    while (cells := next_company(measured, available=available, most=most)) is not None:
        try:
            measured.append(measure(config, cells=cells, threads=threads, **about))
        except ProbeError:  # too little memory after all
            break
    return measured
