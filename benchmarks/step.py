"""Seconds and memory of a generator step and a student step, for several configurations, interleaved in one run.

    python -m benchmarks.step --set data.image_size=64 --set schedule.batch_size=32 \
        --variant baseline student_loss.mhad.weight=0 student_loss.sfcl.weight=0 \
        --variant full --variant compiled engine=compile --variant lean checkpoint_activations=true

Beside fields of the configuration a variant takes ``engine`` (eager, compile, graphs), ``checkpoint_activations`` and
``classes``. Compiling falls into the warm-up rounds. The networks have random weights and no image is read: only the
time is measured. Every round times one generator step and one student step of each variant, in turn, so that a machine
that slows down slows all of them. Medians over the rounds, after warm-up rounds that count for nothing. Memory is kept
from step to step, as in every run of the trainer (``dfkd.allocation``); ``--without-kept-memory`` shows what that
saves.
"""

import argparse
import json
import platform
import statistics
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from dfkd.allocation import memory_kept
from dfkd.config import RunConfig
from dfkd.engines import ENGINES, check_engine
from dfkd.learners import Learners
from dfkd.models import build_classifier
from dfkd.monitor import EpochCost
from dfkd.overrides import parse_scalar, with_overrides
from dfkd.steps import generator_step, student_step
from dfkd.teacher import Teacher


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.step", description=__doc__.splitlines()[0])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for all variants")
    parser.add_argument(
        "--variant", action="append", nargs="+", metavar=("NAME", "KEY=VALUE"), help="default: one, as configured"
    )
    parser.add_argument("--rounds", type=int, default=5, help="timed steps of each kind")
    parser.add_argument("--warm-up", type=int, default=2, help="rounds before the first that counts")
    parser.add_argument("--classes", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--without-kept-memory", action="store_true", help="as the C library does by itself")
    parser.add_argument("--out", type=Path, help="write the JSON here")
    return parser.parse_args()


def configure(settings: list[str]) -> RunConfig:
    pairs = (setting.partition("=") for setting in settings)
    return with_overrides(RunConfig(), {key: parse_scalar(key, value) for key, _, value in pairs})


def split_execution(settings: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Return the settings of the configuration, and the rest: arguments of ``learners_of``."""
    execution: dict[str, Any] = {}
    fields = []
    for setting in settings:
        key, _, value = setting.partition("=")
        if key == "engine" and value in ENGINES:
            execution[key] = value
        elif key == "checkpoint_activations" and value in ("true", "false"):
            execution[key] = value == "true"
        elif key == "classes" and value.isdecimal() and int(value) > 1:
            execution[key] = int(value)
        elif key == "classes":
            raise SystemExit(f"classes must be a whole number above 1, not {value}.")
        elif key in ("engine", "checkpoint_activations"):
            raise SystemExit(
                f"{key} must be one of {', '.join(ENGINES if key == 'engine' else ('true', 'false'))}, not {value}."
            )
        else:
            fields.append(setting)
    return fields, execution


def learners_of(config: RunConfig, *, classes: int, device: torch.device, **execution: Any) -> Learners:
    """Return what a run would train, with a teacher of random weights."""
    classifier = build_classifier(
        config.teacher.architecture, classes=classes, image_size=config.data.image_size, seed=0, role="teacher"
    )
    names = tuple(f"class {i}" for i in range(classes))
    return Learners(config, teacher=Teacher(classifier, "random weights", 0.0, names), device=device, **execution)


def measure(arguments: argparse.Namespace) -> list[dict[str, float | str]]:
    """Return, for each variant, the medians of its steps' seconds, and the peak memory so far."""
    device = torch.device(arguments.device)
    variants = {
        name: split_execution([*arguments.set, *own]) for name, *own in arguments.variant or [["as configured"]]
    }
    configs = {name: configure(fields) for name, (fields, _) in variants.items()}
    for _, execution in variants.values():
        lean = execution.get("checkpoint_activations", False)
        check_engine(execution.get("engine", "eager"), device, checkpoint_activations=lean)
    learners = {
        name: learners_of(config, device=device, **{"classes": arguments.classes, **variants[name][1]})
        for name, config in configs.items()
    }
    seconds: dict[str, dict[str, list[float]]] = {name: {"generator": [], "student": []} for name in configs}
    memory: dict[str, float] = {}
    for count in range(-arguments.warm_up, arguments.rounds):
        for name, config in configs.items():
            cost = EpochCost(device)
            with cost.phase("generator"):
                generator_step(config, learners[name])
            with cost.phase("student"):
                student_step(config, learners[name])
            spent = cost.record(("generator", "student"))
            memory[name] = spent["peak_memory_bytes"]
            if count >= 0:
                for kind, values in seconds[name].items():
                    values.append(spent[f"{kind}_seconds"])
    first = next(iter(seconds.values()))
    return [
        {
            "variant": name,
            **{f"{kind}_step_seconds": statistics.median(values) for kind, values in taken.items()},
            **{
                f"{kind}_step_ratio": statistics.median(a / b for a, b in zip(values, first[kind], strict=True))
                for kind, values in taken.items()
            },
            "peak_memory_bytes": memory[name],
        }
        for name, taken in seconds.items()
    ]


def environment(device: torch.device) -> dict[str, str | int]:
    """Return what of this machine and process the timings depend on."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu",
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
    }


def print_table(rows: list[dict[str, float | str]]) -> None:
    print("| variant | generator step (s) | student step (s) | ratios to the first | peak memory (GiB) |")
    print("|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['variant']} | {row['generator_step_seconds']:.3f} | {row['student_step_seconds']:.3f} "
            f"| {row['generator_step_ratio']:.2f}, {row['student_step_ratio']:.2f} "
            f"| {float(row['peak_memory_bytes']) / 2**30:.2f} |"
        )


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    with nullcontext() if arguments.without_kept_memory else memory_kept():
        rows = measure(arguments)
    print_table(rows)
    content = {
        "settings": arguments.set,
        "variants": arguments.variant,
        "kept_memory": not arguments.without_kept_memory,
        "environment": environment(torch.device(arguments.device)) | {"rounds": arguments.rounds},
    }
    if arguments.out:
        arguments.out.write_text(json.dumps(content | {"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
