"""How far a generator step and a student step are from what this machine can do.

    python -m benchmarks.roofline --set data.image_size=64 --set schedule.batch_size=32 --set compute.channels_last=true

Measured ceilings, in the precision and memory order of the configuration: products of large matrices, 3x3 convolutions
of a ResNet's middle, and copies in memory. Counted for each kind of step: operations, by PyTorch's counter (two per
multiply-add, of convolutions and matrix products), and the bytes that all its operations read and write. From both
follow the seconds that the arithmetic alone, at the higher ceiling of product and convolution, and the traffic alone
would take, and the share of each ceiling that the measured step reaches. What is read from a cache is counted like the
rest, so the traffic's bound is no strict one.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.step import configure, environment, learners_of
from dfkd.allocation import memory_kept
from dfkd.config import RunConfig
from dfkd.evaluation import memory_format
from dfkd.steps import generator_step, student_step

GIGA = 1e9


class TrafficCounter(TorchDispatchMode):
    """Counts the bytes of the tensors that each operation is given and returns; views move none."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view and not func.name().startswith("aten::empty"):
            tensors = {id(leaf): leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, Tensor)}
            self.bytes += sum(tensor.nbytes for tensor in tensors.values())
        return result


def parse_arguments() -> argparse.Namespace:
    summary = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.roofline", description=summary)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--rounds", type=int, default=5, help="timed steps of each kind, after one that is not")
    parser.add_argument("--classes", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, help="write the JSON here")
    return parser.parse_args()


def median_seconds(work: Callable[[], object], device: torch.device, rounds: int) -> float:
    """Return the median of ``rounds`` runs of ``work`` after one that does not count."""
    taken = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:])


def ceilings(config: RunConfig, device: torch.device, rounds: int) -> dict[str, float]:
    """Return what the machine reaches: operations a second in a matrix product and a convolution, bytes in a copy."""
    kind = getattr(torch, config.compute.precision)
    size = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(size, size, device=device, dtype=kind) for _ in range(2))
    product = median_seconds(lambda: a @ b, device, rounds)
    channels, side = 128, 16
    convolution = nn.Conv2d(channels, channels, 3, padding=1, bias=False, device=device, dtype=kind)
    batch = torch.randn(config.schedule.batch_size, channels, side, side, device=device, dtype=kind)
    batch = batch.to(memory_format=memory_format(config.compute))
    convolution.to(memory_format=memory_format(config.compute))
    with torch.no_grad():
        convolved = median_seconds(lambda: convolution(batch), device, rounds)
    source = torch.zeros(64 * 2**20, device=device)
    target = torch.empty_like(source)
    copied = median_seconds(lambda: target.copy_(source), device, rounds)
    return {
        "matrix_product": 2 * size**3 / product,
        "convolution": 2 * 9 * channels**2 * batch.shape[0] * side**2 / convolved,
        "memory": 2 * source.nbytes / copied,
    }


@memory_kept()
def measure(config: RunConfig, step: Callable[[], object], device: torch.device, rounds: int) -> dict[str, float]:
    """Return what a step counts and takes."""
    step()
    with FlopCounterMode(display=False) as operations:
        step()
    with TrafficCounter() as traffic:
        step()
    return {
        "operations": operations.get_total_flops(),
        "bytes": traffic.bytes,
        "seconds": median_seconds(step, device, rounds),
    }


def against(ceiling: dict[str, float], step: dict[str, float]) -> dict[str, float]:
    """Return what the ceilings say of a step: the two bounds in seconds, and the shares of the ceilings it reaches."""
    fastest = max(ceiling["matrix_product"], ceiling["convolution"])  # which of them it is depends on the processor
    return step | {
        "arithmetic_seconds": step["operations"] / fastest,
        "traffic_seconds": step["bytes"] / ceiling["memory"],
        "share_of_matrix_product": step["operations"] / step["seconds"] / ceiling["matrix_product"],
        "share_of_convolution": step["operations"] / step["seconds"] / ceiling["convolution"],
        "share_of_memory": step["bytes"] / step["seconds"] / ceiling["memory"],
    }


def print_tables(ceiling: dict[str, float], steps: dict[str, dict[str, float]]) -> None:
    """Print ceilings and steps as Markdown."""
    print("| ceiling | measured |\n|---|--:|")
    print(f"| matrix product | {ceiling['matrix_product'] / GIGA:.0f} GFLOP/s |")
    print(f"| convolution 3x3 | {ceiling['convolution'] / GIGA:.0f} GFLOP/s |")
    print(f"| copy in memory | {ceiling['memory'] / GIGA:.1f} GB/s |\n")
    print(
        "| step | GFLOP | GB | FLOP a byte | seconds | arithmetic alone | traffic alone | of product | of convolution |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for name, row in steps.items():
        print(
            f"| {name} | {row['operations'] / GIGA:.1f} | {row['bytes'] / GIGA:.2f} "
            f"| {row['operations'] / row['bytes']:.0f} | {row['seconds']:.3f} | {row['arithmetic_seconds']:.3f} "
            f"| {row['traffic_seconds']:.3f} | {row['share_of_matrix_product']:.0%} "
            f"| {row['share_of_convolution']:.0%} |"
        )


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    config = configure(arguments.set)
    ceiling = ceilings(config, device, arguments.rounds)
    learners = learners_of(config, classes=arguments.classes, device=device)
    steps = {
        name: against(ceiling, measure(config, partial(step, config, learners), device, arguments.rounds))
        for name, step in (("generator", generator_step), ("student", student_step))
    }
    print_tables(ceiling, steps)
    content = {"settings": arguments.set, "environment": environment(device), "ceilings": ceiling, "steps": steps}
    if arguments.out:
        arguments.out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
