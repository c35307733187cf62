"""The adversarial loop (section 4, equations 1, 10 and 11, Algorithm 1) as a generator of metrics."""

import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dfkd.allocation import keeping_memory
from dfkd.config import REAL_METHODS, RunConfig, ScheduleConfig
from dfkd.data import ImageSet, TrainingImages
from dfkd.errors import TrainingDivergedError
from dfkd.evaluation import accuracy
from dfkd.learners import Learners
from dfkd.monitor import EpochCost
from dfkd.real import RealLearners, real_step
from dfkd.state import load_state, save_state
from dfkd.stepping import Measurements
from dfkd.steps import generator_step, student_step
from dfkd.teacher import Teacher

Step = Callable[[], Measurements]

Record = dict[str, float]
"""One epoch's metrics, means over the epoch's steps. Loss terms are given before their weights, under the names of
their configuration (``generator_loss.batch_norm``); a term of weight 0 has no entry. ``synthetic.*`` describes the
images that the student learnt from: the teacher's ``confidence`` and ``entropy`` (nats), the ``agreement`` of both
networks, and the ``class_coverage`` (share of the classes that the teacher saw) and ``class_entropy`` (nats) of the
whole epoch. ``test_accuracy`` is a fraction, and so is ``validation_accuracy``, which is there if images were kept
aside to choose settings on; ``time`` is the Unix time of the epoch's end, and ``images_per_second`` counts the images
of its steps."""

TIMINGS = (
    "images_per_second",
    "seconds",
    "cpu_seconds",
    "generator_step_seconds",
    "student_step_seconds",
    "peak_memory_bytes",
    "time",
)
"""The entries of a record that differ when a run is repeated."""


@keeping_memory
def distill(
    config: RunConfig,
    *,
    teacher: Teacher,
    test: ImageSet,
    device: torch.device,
    state_path: Path | None = None,
    train: TrainingImages | None = None,
    validation: ImageSet | None = None,
    engine: str = "eager",
    checkpoint_activations: bool = False,
) -> Iterator[Record]:
    """Train a student, without real images unless ``config.method`` is one of ``REAL_METHODS``; yield its records.

    There is one record per epoch, from the first to the last.

    With a ``state_path`` the full state is written there before an epoch's record is yielded, and a later call with the
    same path goes on from it: it yields the records of the epochs already done, then trains the rest, to the same bits
    on a CPU with the same number of threads as if it had never stopped. ``test`` and ``validation`` are only measured
    on, and move no other number. ``train`` is taken where the method learns from real images, and nowhere else.

    ``engine`` is one of ``dfkd.engines.ENGINES``: what runs the forward passes. Another engine moves last digits, and
    may go on from a state that the first one left. ``checkpoint_activations`` computes activations of a generator step
    twice instead of keeping them, which takes less memory and gives the same bits; the eager engine alone can do so.
    Where ``config.runs_eagerly`` there is neither choice, as with real images.

    Raises:
        TrainingDivergedError: a loss became NaN or infinite.
        CheckpointError: the state belongs to another configuration, or is damaged.
        ValueError: ``train`` is given to a data-free method, or missing where real images are learnt from.
    """
    learners = _learners(
        config,
        teacher=teacher,
        train=train,
        device=device,
        engine=engine,
        checkpoint_activations=checkpoint_activations,
        state_path=state_path,
    )
    history: list[Record] = []
    if state_path is not None and state_path.exists():
        history = load_state(state_path, config=config, teacher=teacher, learners=learners)
        yield from (dict(record) for record in history)
    test = test.to(device)
    validation = validation.to(device) if validation is not None else None
    for epoch in range(len(history) + 1, config.schedule.epochs + 1):
        record = _train_epoch(config, learners, epoch)
        record["test_accuracy"] = accuracy(learners.student.network, test, learners.spec, config.compute)
        if validation is not None:
            seen = accuracy(learners.student.network, validation, learners.spec, config.compute)
            record["validation_accuracy"] = seen
        history.append(record)
        if state_path is not None:
            save_state(state_path, config=config, teacher=teacher, learners=learners, history=history)
        yield dict(record)


def _learners(
    config: RunConfig,
    *,
    teacher: Teacher,
    train: TrainingImages | None,
    device: torch.device,
    engine: str,
    checkpoint_activations: bool,
    state_path: Path | None,
) -> Learners | RealLearners:
    if config.learns_from_real_images != (train is not None):
        raise ValueError(f"`train` must be given to {' and '.join(REAL_METHODS)} alone, but got {config.method=}.")
    if train is not None:
        return RealLearners(config, teacher=teacher, train=train, device=device)
    return Learners(
        config,
        teacher=teacher,
        device=device,
        engine=engine,
        checkpoint_activations=checkpoint_activations,
        state_path=state_path,
    )


def epoch_phases(schedule: ScheduleConfig, epoch: int) -> list[str]:
    """Return what each step of an epoch trains, ``generator`` or ``student``, in order.

    Alternating, every round is its generator steps, then its student steps, which the warm-up leaves out. Staged, the
    run is all of its generator steps, then all of its student steps, and an epoch is as many of them as an alternating
    one.
    """
    if schedule.phases == "alternate":
        warming_up = max(0, schedule.warm_up_rounds - (epoch - 1) * schedule.iterations_per_epoch)
        warming_up = min(warming_up, schedule.iterations_per_epoch)
        quiet = ["generator"] * schedule.generator_steps
        one_round = quiet + ["student"] * schedule.student_steps
        return quiet * warming_up + one_round * (schedule.iterations_per_epoch - warming_up)
    length = schedule.iterations_per_epoch * (schedule.generator_steps + schedule.student_steps)
    generator_steps = schedule.epochs * schedule.iterations_per_epoch * schedule.generator_steps
    first = (epoch - 1) * length
    return ["generator" if step < generator_steps else "student" for step in range(first, first + length)]


def _steps(config: RunConfig, learners: Learners | RealLearners, epoch: int) -> Iterator[tuple[str, Step]]:
    """Yield what each step of the epoch trains, and the step."""
    if isinstance(learners, RealLearners):
        for _ in range(config.schedule.iterations_per_epoch * config.schedule.student_steps):
            yield "student", partial(real_step, config, learners)
    else:
        for phase in epoch_phases(config.schedule, epoch):
            yield phase, partial(generator_step if phase == "generator" else student_step, config, learners)


def _train_epoch(config: RunConfig, learners: Learners | RealLearners, epoch: int) -> Record:
    cost = EpochCost(learners.device)
    totals: defaultdict[str, Tensor] = defaultdict(lambda: torch.zeros((), device=learners.device))
    rates = {"student.learning_rate": float(learners.student_schedule.get_last_lr()[0])}
    if isinstance(learners, Learners):
        rates |= learners.synthesizer.rates()
    steps = list(_steps(config, learners, epoch))
    counts = Counter(phase for phase, _ in steps)
    for phase, step in steps:
        with cost.phase(f"{phase}_step"):
            measured = step()
        for name, value in measured.items():
            # Summed on the device: nothing waits for a number before the epoch's end.
            totals[name] = totals[name] + value / counts[phase]
    shares = totals.pop("synthetic.class_shares", None)
    means: Record = {name: total.item() for name, total in totals.items()}
    _require_finite(means, epoch)
    if shares is not None:
        means["synthetic.class_coverage"] = (shares > 0).float().mean().item()
        means["synthetic.class_entropy"] = -torch.xlogy(shares, shares).sum().item()
    spent = cost.record(("generator_step", "student_step"))
    images = config.schedule.batch_size * len(steps)
    return {
        "epoch": epoch,
        **means,
        **rates,
        "images_per_second": images / spent["seconds"],
        **spent,
        "time": time.time(),
    }


def _require_finite(means: Record, epoch: int) -> None:
    wrong = {name: value for name, value in means.items() if not math.isfinite(value)}
    if wrong:
        raise TrainingDivergedError(
            f"In epoch {epoch} {', '.join(f'{name} became {value}' for name, value in wrong.items())}. "
            "Lower `student.learning_rate`, `generator.learning_rate` or the weight of that term."
        )


def run_summary(history: list[dict[str, Any]], *, final_epochs: int = 10) -> dict[str, float | int]:
    """Return a finished run's headline numbers, fractions all: ``last`` epoch, ``best_on_test`` (an oracle: the test
    split chose it) with its epoch, and ``final_mean`` and ``final_sd`` (n - 1) over the last ``final_epochs`` epochs.
    ``validation_last`` is the validation accuracy after the last epoch, if it was measured.
    """
    values = [record["test_accuracy"] for record in history]
    final = torch.tensor(values[-final_epochs:], dtype=torch.float64)
    best = max(range(len(values)), key=values.__getitem__)
    validation = history[-1].get("validation_accuracy")
    return {
        "last": values[-1],
        "best_on_test": values[best],
        "best_epoch": best + 1,
        "final_mean": final.mean().item(),
        "final_sd": final.std().item() if len(final) > 1 else 0.0,
        "final_epochs": len(final),
        **({"validation_last": validation} if validation is not None else {}),
    }
