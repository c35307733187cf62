"""Synthesis and student steps of our methods beside DataFree's: the same networks, weights and noise, loss by loss.

    git clone https://github.com/zju-vipa/DataFree CHECKOUT
    pip install kornia einops termcolor
    python -m benchmarks.methods_against_datafree --checkout CHECKOUT --out OUT.json

A student step comes first, which leaves the generator alone, then synthesis: one step, or for CMI two rounds of one
step, the second of which has a bank to differ from. Compared are the losses, weighed and summed, and the weights of
the student and the generator afterwards. The exit status is 1 if a loss is more than 1e-5 apart, relatively.

Our presets are used but for what DataFree does otherwise, which is named in ``APART``.
"""

import argparse
import io
import json
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

import torch

from benchmarks.against_datafree import flat_weights, remember_statistics
from benchmarks.datafree_methods import MethodSide, noted_losses
from benchmarks.step import environment, learners_of
from dfkd.config import RunConfig
from dfkd.learners import Learners
from dfkd.overrides import with_overrides
from dfkd.steps import generator_step, student_step
from dfkd.synthesis.generator import GeneratorSynthesis
from dfkd.synthesis.noise import NoiseSynthesis
from search_spaces.loader import load_method

TOLERANCE = 1e-5

COMMON = {
    "teacher.architecture": "resnet8",
    "student.architecture": "resnet8",
    "generator.output": "normalised",  # both sides get a generator that makes what networks see
    "generator.noise_for": "step",
    "generator.schedule": "constant",
    "generator.gradient_clip_norm": 0.0,
    "generator.beta1": 0.5,
    "generator.beta2": 0.999,
    "generator.normalisation_when_frozen": "running",
    "student.normalisation_when_frozen": "running",
    "student.gradient_clip_norm": 0.0,
    "student_loss.mhad.weight": 0.0,
    "student_loss.sfcl.weight": 0.0,
    "compute.channels_last": False,
}
"""What both sides do whatever the method is; DataFree's settings where there is a choice."""

APART: dict[str, dict[str, object]] = {
    "zskt": {"student_loss.attention_transfer.weight": 0.0},  # DataFree leaves ZSKT's attention out
    "dafl": {},
    "dfad": {},
    "dfq": {},
    "cmi": {
        **{"schedule.generator_steps": 1, "synthesis.noise.crop_padding": 1, "generator_loss.contrast.capacity": 64},
        "student_loss.distillation.temperature": 1.0,  # at 20 float32 keeps 4 digits of a divergence
    },
}
"""By method: what DataFree does otherwise than our preset, or what makes the comparison short."""


def parse_arguments() -> argparse.Namespace:
    summary = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.methods_against_datafree", description=summary)
    parser.add_argument("--checkout", type=Path, required=True, help="folder of a clone of DataFree")
    parser.add_argument("--method", choices=APART, action="append", help="default: all")
    parser.add_argument("--image-size", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--out", type=Path, help="write the JSON here")
    return parser.parse_args()


def our_side(arguments: argparse.Namespace, method: str) -> tuple[RunConfig, Learners]:
    """Return a run of ``method`` before any step, whose noise is what DataFree would draw: of PyTorch's own stream."""
    sizes = {"data.image_size": arguments.image_size, "schedule.batch_size": arguments.batch_size}
    config = with_overrides(RunConfig(), {**load_method(method).overrides, **COMMON, **sizes, **APART[method]})
    learners = learners_of(config, classes=arguments.classes, device=torch.device("cpu"))
    remember_statistics(learners.teacher.classifier.network, arguments.image_size)
    return config, learners


def use_default_stream(learners: Learners) -> None:
    """Let noise come from PyTorch's default stream, as it does in DataFree."""
    synthesizer = learners.synthesizer
    assert isinstance(synthesizer, NoiseSynthesis | GeneratorSynthesis)
    if isinstance(synthesizer, NoiseSynthesis):
        synthesizer.noise = torch.default_generator
    else:
        size = learners.judges.config.generator.noise_size
        synthesizer.latents.draw = lambda count: (torch.randn(count, size), None)  # type: ignore[method-assign]


def compare(arguments: argparse.Namespace, method: str, folder: Path) -> dict[str, tuple[float, float]]:
    """Return pairs of ours and DataFree's: each step's loss, and how far weights moved in all."""
    config, learners = our_side(arguments, method)
    with redirect_stdout(io.StringIO()):
        theirs = MethodSide(config, learners, checkout=arguments.checkout, folder=folder)
    use_default_stream(learners)
    ours = {"generator": learners.judges.networks.generator, "student": learners.student.network}
    found: dict[str, tuple[float, float]] = {}
    images = None
    if isinstance(learners.synthesizer, NoiseSynthesis):
        images = torch.randn(arguments.batch_size, 3, arguments.image_size, arguments.image_size)
        learners.sample = lambda: images  # type: ignore[method-assign]
    rounds = 1 if images is None else 2
    steps = {
        "student": (1, 1, student_step, lambda: theirs.student_step(images)),
        "generator": (rounds, config.schedule.generator_steps, generator_step, theirs.synthesize),
    }
    for kind, (turns, count, our_step, their_turn) in steps.items():
        network = ours[kind]
        assert network is not None
        before, our_losses, their_losses = flat_weights(network), list[float](), list[float]()
        for turn in range(turns):
            torch.manual_seed(turn)
            with noted_losses(our_losses):
                for _ in range(count):
                    our_step(config, learners)
            torch.manual_seed(turn)
            with noted_losses(their_losses), redirect_stdout(io.StringIO()):
                their_turn()
        for number, pair in enumerate(zip(our_losses, their_losses, strict=True), 1):
            found[f"{kind} loss {number}"] = pair
        moved, expected = (flat_weights(each) - before for each in (network, theirs.networks[kind]))
        found[f"{kind} weights moved"] = (moved.norm().item(), expected.norm().item())
    return found


def main() -> int:
    arguments = parse_arguments()
    torch.set_num_threads(1)
    worst, rows = 0.0, list[dict[str, float | str]]()
    print("| method | what | ours | DataFree | apart |\n|---|---|--:|--:|--:|")
    for method in arguments.method or APART:
        with tempfile.TemporaryDirectory() as folder:
            found = compare(arguments, method, Path(folder))
        for what, (ours, theirs) in found.items():
            apart = abs(ours - theirs) / max(abs(theirs), 1e-12)
            rows.append({"method": method, "what": what, "ours": ours, "datafree": theirs, "apart": apart})
            print(f"| {method} | {what} | {ours:.7g} | {theirs:.7g} | {apart:.1e} |")
            if "loss" in what:
                worst = max(worst, apart)
    print(f"\nThe losses are at most {worst:.1e} apart, relatively; {TOLERANCE:g} are allowed.")
    if arguments.out:
        asked = {key: value for key, value in vars(arguments).items() if key not in ("checkout", "out")}
        content = {"arguments": asked, "environment": environment(torch.device("cpu")), "rows": rows}
        arguments.out.write_text(json.dumps(content, indent=1) + "\n")
    return int(worst > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
