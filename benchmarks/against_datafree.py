"""A generator step and a student step beside DataFree's, on the same networks, weights, noise and batch.

    git clone https://github.com/zju-vipa/DataFree CHECKOUT
    pip install kornia einops termcolor
    python -m benchmarks.against_datafree --checkout CHECKOUT
    python -m benchmarks.against_datafree --checkout CHECKOUT --memory

DataFree (Fang et al.) is the code base that most data-free methods are published with. Its `GenerativeSynthesizer`
with `adv=1, bn=0.3` and its `train()` are the paper's baseline (Table 3): L_BN and L_KD, no attention. Both sides get
copies of one teacher, one student and one generator. First each side in float32 takes one step of each kind from the
same noise, and what came out is compared. Then the sides are timed in turn, each in a process of its own, because ours
keeps its memory from step to step: medians, and medians of each round's ratios. With `--memory` the peaks of such
processes are printed instead.
"""

import argparse
import json
import multiprocessing
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.datafree import DataFreeSide
from benchmarks.step import configure, environment, learners_of, split_execution
from dfkd.allocation import memory_kept
from dfkd.config import RunConfig
from dfkd.learners import Learners
from dfkd.monitor import EpochCost
from dfkd.steps import generator_step, student_step
from dfkd.synthesis.generator import GeneratorSynthesis

BASELINE = (
    *("generator.attention.weight=0", "student_loss.mhad.weight=0", "student_loss.sfcl.weight=0"),
    # DataFree's settings where they are not the paper's:
    *("generator.beta2=0.999", "generator.schedule=constant"),
    *("student.normalisation_when_frozen=running", "generator.normalisation_when_frozen=running"),
)

REFERENCE, PLAIN = "DataFree, float32", "ours, float32"

OURS: dict[str, tuple[str, ...]] = {
    PLAIN: (),
    "ours, float32, channels_last": ("compute.channels_last=true",),
    "ours, float32, channels_last, checkpointed": ("compute.channels_last=true", "checkpoint_activations=true"),
    "ours, float32, channels_last, compiled": ("compute.channels_last=true", "engine=compile"),
    "ours, bfloat16, channels_last": ("compute.channels_last=true", "compute.precision=bfloat16"),
    "ours, bfloat16, channels_last, compiled": (
        *("compute.channels_last=true", "compute.precision=bfloat16"),
        "engine=compile",
    ),
}

MEMORY = ("peak_memory_bytes", "step_memory_bytes")

KINDS = ("student", "generator")
"""In this order, because the student's step leaves the generator alone: so both kinds start from equal weights."""


class OurSide:
    """The trainer's own steps, with the noise that DataFree would draw: from PyTorch's default stream."""

    def __init__(self, config: RunConfig, learners: Learners) -> None:
        self.config, self.learners = config, learners
        generator, synthesizer = learners.judges.networks.generator, learners.synthesizer
        assert generator is not None
        assert isinstance(synthesizer, GeneratorSynthesis)
        self.networks: dict[str, nn.Module] = {"generator": generator, "student": learners.student.network}
        size = config.generator.noise_size
        synthesizer.latents.draw = lambda count: (torch.randn(count, size), None)  # type: ignore[method-assign]

    def generator_step(self) -> float:
        """Take one; return its loss."""
        measured = generator_step(self.config, self.learners)
        matching, adversarial = measured["generator_loss.batch_norm"], measured["generator_loss.adversarial"]
        return float(self.config.generator_loss.batch_norm.weight * matching + adversarial)

    def student_step(self) -> float:
        """Take one; return its loss."""
        return float(student_step(self.config, self.learners)["student_loss.distillation"])


Side = OurSide | DataFreeSide


def parse_arguments() -> argparse.Namespace:
    summary = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.against_datafree", description=summary)
    parser.add_argument("--checkout", type=Path, required=True, help="folder of a clone of DataFree")
    parser.add_argument("--teacher", default="resnet18")
    parser.add_argument("--student", default="resnet18")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--classes", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5, help="timed steps of each kind, after one that is not")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--without-bfloat16", action="store_true", help="for processors that have no kernels for it")
    parser.add_argument("--memory", action="store_true", help="peak memory instead of time")
    parser.add_argument("--alone", choices=[REFERENCE, *OURS], help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="write the JSON here")
    return parser.parse_args()


def our_side(arguments: argparse.Namespace, own: tuple[str, ...]) -> OurSide:
    """Return our side with the settings ``own``, from the same weights whatever they are."""
    own_fields, execution = split_execution(list(own))
    config = configure(
        [
            *(f"{role}.architecture={getattr(arguments, role)}" for role in ("teacher", "student")),
            f"data.image_size={arguments.image_size}",
            f"schedule.batch_size={arguments.batch_size}",
            *BASELINE,
            *own_fields,
        ]
    )
    learners = learners_of(config, classes=arguments.classes, device=torch.device("cpu"), **execution)
    remember_statistics(learners.teacher.classifier.network, arguments.image_size)
    return OurSide(config, learners)


def build(arguments: argparse.Namespace, name: str) -> Side:
    """Return the side called ``name``, before any step."""
    if name != REFERENCE:
        return our_side(arguments, OURS[name])
    ours = our_side(arguments, ())
    return DataFreeSide(ours.config, ours.learners, checkout=arguments.checkout)


def names(arguments: argparse.Namespace) -> list[str]:
    return [REFERENCE, *(name for name in OURS if not (arguments.without_bfloat16 and "bfloat16" in name))]


@torch.no_grad()
def remember_statistics(network: nn.Module, image_size: int) -> None:
    """Let the batch norms of random weights remember statistics, of random images: without any, losses overflow."""
    random = torch.Generator().manual_seed(0)
    network.train()
    for _ in range(2):
        network(torch.randn(8, 3, image_size, image_size, generator=random))
    network.eval()


def compare(reference: Side, ours: Side) -> dict[str, float]:
    """Take one step of each kind on both sides, from the same noise; return how far apart they end.

    ``<kind>_loss``: the relative difference of the losses. ``<kind>_weights``: the distance between both sides' weights
    over the length of the step; ``<kind>_weights_apart``: the share of weights that are more than 1e-6 apart. The first
    step of Adam is the rate times the gradient's sign, so where a gradient is zero but for rounding, they are.
    """
    found: dict[str, float] = {}
    for kind in KINDS:
        before = flat_weights(ours.networks[kind])
        losses = []
        for side in (reference, ours):
            torch.manual_seed(1)
            losses.append(side.generator_step() if kind == "generator" else side.student_step())
        wanted, measured = (flat_weights(side.networks[kind]) for side in (reference, ours))
        found[f"{kind}_loss"] = abs(losses[1] - losses[0]) / abs(losses[0])
        found[f"{kind}_weights"] = ((measured - wanted).norm() / (wanted - before).norm()).item()
        found[f"{kind}_weights_apart"] = ((measured - wanted).abs() > 1e-6).double().mean().item()
    return found


@torch.no_grad()
def flat_weights(network: nn.Module) -> Tensor:
    return torch.cat([parameter.contiguous().flatten() for parameter in network.parameters()]).double()


def serve(arguments: argparse.Namespace, name: str, orders: Connection) -> None:
    """Run in a process of its own: build the side ``name``, then take steps as ordered and answer with their seconds.

    An order is a kind of step; None ends it. Our sides keep their memory, as every run of the trainer does.
    """
    torch.set_num_threads(arguments.threads)
    with memory_kept() if name != REFERENCE else nullcontext():
        side = build(arguments, name)
        steps = {"student": side.student_step, "generator": side.generator_step}
        orders.send(0.0)
        while (kind := orders.recv()) is not None:
            start = time.perf_counter()
            steps[kind]()
            orders.send(time.perf_counter() - start)


@contextmanager
def serving(arguments: argparse.Namespace, name: str) -> Iterator[Callable[[str], float]]:
    """Start the process of a side; give a function that orders a step of it and returns the seconds."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(arguments, name, there), daemon=True)
    process.start()
    there.close()

    def order(kind: str) -> float:
        here.send(kind)
        return float(here.recv())  # EOFError if the process died

    here.recv()
    try:
        yield order
    finally:
        with suppress(OSError):
            here.send(None)
        process.join(30)
        process.kill()


def measure_time(arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Return each side's median seconds a step, and the median of its rounds' ratios: how many times as fast it is."""
    taken: dict[str, dict[str, list[float]]] = {name: {kind: [] for kind in KINDS} for name in names(arguments)}
    with ExitStack() as stack:
        orders = {name: stack.enter_context(serving(arguments, name)) for name in taken}
        for count in range(arguments.rounds + 1):
            for name, order in orders.items():
                for kind in KINDS:
                    spent = order(kind)
                    if count > 0:
                        taken[name][kind].append(spent)
    return {
        name: {f"{kind}_step_seconds": statistics.median(values) for kind, values in of.items()}
        | {
            f"{kind}_step_times_as_fast": statistics.median(
                a / b for a, b in zip(taken[REFERENCE][kind], values, strict=True)
            )
            for kind, values in of.items()
        }
        for name, of in taken.items()
    }


def measure_memory(arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Return each side's peak memory in bytes, each in a process of its own, and its share of DataFree's.

    ``step_memory_bytes`` is what the steps add to a process that has imported everything and built its networks.
    """
    measured = {}
    for name in names(arguments):
        command = [sys.executable, "-m", "benchmarks.against_datafree", *sys.argv[1:], "--alone", name]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        measured[name] = json.loads(printed.splitlines()[-1])
    first = measured[REFERENCE]
    return {name: row | {f"{key}_share": row[key] / first[key] for key in row} for name, row in measured.items()}


def memory_alone(arguments: argparse.Namespace) -> dict[str, float]:
    """Take two steps of each kind and return this process's peak memory, and what of it the steps added."""
    side = build(arguments, arguments.alone)
    # Its peak is counted from here on, so without a step it is what is held now.
    before = EpochCost(torch.device("cpu")).record(())["peak_memory_bytes"]
    cost = EpochCost(torch.device("cpu"))
    with memory_kept() if arguments.alone != REFERENCE else nullcontext():
        for _ in range(2):
            side.student_step()
            side.generator_step()
    peak = cost.record(())["peak_memory_bytes"]
    return {"peak_memory_bytes": peak, "step_memory_bytes": peak - before}


def print_table(rows: dict[str, dict[str, float]]) -> None:
    """Print what was measured, as Markdown."""
    if "peak_memory_bytes" in rows[REFERENCE]:
        print("| side | peak memory (GiB) | share | of it the steps' (GiB) | share |\n|---|--:|--:|--:|--:|")
        for name, row in rows.items():
            shown = (f"{row[key] / 2**30:.2f} | {row[f'{key}_share']:.2f}" for key in MEMORY)
            print(f"| {name} | {' | '.join(shown)} |")
        return
    print("| side | generator step (s) | student step (s) | times as fast |\n|---|--:|--:|--:|")
    for name, row in rows.items():
        ratios = ", ".join(f"{row[f'{kind}_step_times_as_fast']:.2f}" for kind in ("generator", "student"))
        print(f"| {name} | {row['generator_step_seconds']:.3f} | {row['student_step_seconds']:.3f} | {ratios} |")


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    if arguments.alone:
        print(json.dumps(memory_alone(arguments)))
        return
    content: dict[str, Any] = {
        "arguments": {key: value for key, value in vars(arguments).items() if key not in ("checkout", "out", "alone")},
        "environment": environment(torch.device("cpu")),
    }
    if arguments.memory:
        content["rows"] = measure_memory(arguments)
    else:
        content["parity"] = {
            name: compare(build(arguments, REFERENCE), build(arguments, name))
            for name in names(arguments)
            if name != REFERENCE and "float32" in name
        }
        for name, found in content["parity"].items():
            print(f"After one step of each kind, {name} against {REFERENCE}:")
            for key, value in found.items():
                print(f"  {key}: {value:.2g}")
        content["rows"] = measure_time(arguments)
    print_table(content["rows"])
    if arguments.out:
        arguments.out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
