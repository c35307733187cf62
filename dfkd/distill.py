"""The adversarial loop (section 4, equations 1, 10 and 11, Algorithm 1) as a generator of metrics."""

import math
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dfkd.config import RunConfig
from dfkd.data import ImageSet
from dfkd.errors import TrainingDivergedError
from dfkd.evaluation import accuracy
from dfkd.learners import Learners
from dfkd.losses import batch_norm_statistics, soft_target_kl
from dfkd.models.taps import tap_batch_norms, tap_features
from dfkd.state import load_state, save_state
from dfkd.teacher import Teacher

Record = dict[str, float]
"""One epoch's metrics. Loss terms are means over the epoch's steps, before their weights, under the names of their
configuration (``generator_loss.batch_norm``); a term of weight 0 has no entry. ``test_accuracy`` is a fraction;
``time`` is the Unix time of the epoch's end, and ``images_per_second`` counts the images synthesised in its steps."""

TIMINGS = ("images_per_second", "seconds", "cpu_seconds", "time")
"""The entries of a record that differ when a run is repeated."""


def distill(
    config: RunConfig,
    *,
    teacher: Teacher,
    test: ImageSet,
    device: torch.device,
    state_path: Path | None = None,
) -> Iterator[Record]:
    """Train a student without real images; yield a record per epoch, from the first to the last.

    With a ``state_path`` the full state is written there before an epoch's record is yielded, and a later call with the
    same path goes on from it: it yields the records of the epochs already done, then trains the rest, to the same bits
    on a CPU with the same number of threads as if it had never stopped. ``test`` is only measured on.

    Raises:
        TrainingDivergedError: a loss became NaN or infinite.
        CheckpointError: the state belongs to another configuration, or is damaged.
    """
    learners = Learners(config, teacher=teacher, device=device)
    history: list[Record] = []
    if state_path is not None and state_path.exists():
        history = load_state(state_path, config=config, teacher=teacher, learners=learners)
        yield from (dict(record) for record in history)
    test = test.to(device)
    for epoch in range(len(history) + 1, config.schedule.epochs + 1):
        record = _train_epoch(config, learners, epoch)
        record["test_accuracy"] = accuracy(learners.student.network, test, learners.spec, config.compute)
        history.append(record)
        if state_path is not None:
            save_state(state_path, config=config, teacher=teacher, learners=learners, history=history)
        yield dict(record)


def _train_epoch(config: RunConfig, learners: Learners, epoch: int) -> Record:
    schedule = config.schedule
    start, cpu_start = time.perf_counter(), time.process_time()
    totals: defaultdict[str, Tensor] = defaultdict(lambda: torch.zeros((), device=learners.device))
    student_lr = float(learners.student_schedule.get_last_lr()[0])
    for _ in range(schedule.iterations_per_epoch):
        for steps, step in ((schedule.generator_steps, generator_step), (schedule.student_steps, student_step)):
            for _ in range(steps):
                for name, value in step(config, learners).items():
                    # Summed on the device: nothing waits for a number before the epoch's end.
                    totals[name] = totals[name] + value / (steps * schedule.iterations_per_epoch)
    terms: Record = {name: total.item() for name, total in totals.items()}
    wrong = {name: value for name, value in terms.items() if not math.isfinite(value)}
    if wrong:
        raise TrainingDivergedError(
            f"In epoch {epoch} {', '.join(f'{name} became {value}' for name, value in wrong.items())}. "
            "Lower `student.learning_rate`, `generator.learning_rate` or the weight of that term."
        )
    seconds = time.perf_counter() - start
    images = schedule.batch_size * schedule.iterations_per_epoch * (schedule.generator_steps + schedule.student_steps)
    return {
        "epoch": epoch,
        **terms,
        "student.learning_rate": student_lr,
        "images_per_second": images / seconds,
        "seconds": seconds,
        "cpu_seconds": time.process_time() - cpu_start,
        "time": time.time(),
    }


def set_batch_norm_memory(network: nn.Module, *, remember: bool) -> None:
    """Let the batch norms of a network in training mode update their running statistics, or not."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.track_running_stats = remember


def generator_step(config: RunConfig, learners: Learners) -> dict[str, Tensor]:
    """Take one generator step on alpha * L_BN - L_KD (equation 10); return its terms, detached.

    Teacher and student are frozen: gradients reach the generator alone. The student normalises by the batch's own
    statistics, as when it learns, but remembers none of them (docs/departures.md).
    """
    weights = config.generator_loss
    teacher, student = learners.teacher.classifier.network, learners.student.network
    set_batch_norm_memory(student.train().requires_grad_(False), remember=False)
    terms: dict[str, Tensor] = {}
    with learners.autocast():
        images = learners.network_input(learners.generator(learners.draw_noise()))
        with tap_batch_norms(teacher, enabled=weights.batch_norm.weight > 0) as (layers, inputs):
            teacher_logits = teacher(images)
        student_logits = student(images) if weights.adversarial.weight > 0 else None
    loss = torch.zeros((), device=images.device)
    if layers:
        terms["generator_loss.batch_norm"] = batch_norm_statistics(layers, inputs)
        loss = loss + weights.batch_norm.weight * terms["generator_loss.batch_norm"]
    if student_logits is not None:
        terms["generator_loss.adversarial"] = -soft_target_kl(
            student_logits, teacher_logits, temperature=config.student_loss.distillation.temperature
        )
        loss = loss + weights.adversarial.weight * terms["generator_loss.adversarial"]
    learners.generator_optimizer.zero_grad(set_to_none=True)
    loss.backward()
    learners.generator_optimizer.step()
    learners.generator_schedule.step()
    return {name: term.detach() for name, term in terms.items()}


def student_step(config: RunConfig, learners: Learners) -> dict[str, Tensor]:
    """Take one student step on L_KD + beta * L_MHAD + gamma * L_SFCL (equation 11); return its terms, detached.

    The generator makes the images without a graph, with the batch statistics it was trained with. Gradients reach the
    student and the auxiliary modules.
    """
    weights = config.student_loss
    teacher, student = learners.teacher.classifier, learners.student
    set_batch_norm_memory(student.network.train().requires_grad_(True), remember=True)
    auxiliary = learners.auxiliary
    with learners.autocast():
        with torch.no_grad():
            images = learners.network_input(learners.generator(learners.draw_noise()))
            with tap_features(teacher, enabled=len(auxiliary) > 0) as teacher_features:
                teacher_logits = teacher.network(images)
        with tap_features(student, enabled=len(auxiliary) > 0) as student_features:
            student_logits = student.network(images)
        terms = {
            f"student_loss.{name}": module(teacher_features, student_features) for name, module in auxiliary.items()
        }
    if weights.distillation.weight > 0:
        terms["student_loss.distillation"] = soft_target_kl(
            student_logits, teacher_logits, temperature=weights.distillation.temperature
        )
    scale = {
        "student_loss.distillation": weights.distillation.weight,
        "student_loss.mhad": weights.mhad.weight,
        "student_loss.sfcl": weights.sfcl.weight,
    }
    loss = torch.stack([scale[name] * term for name, term in terms.items()]).sum()
    learners.student_optimizer.zero_grad(set_to_none=True)
    loss.backward()
    learners.student_optimizer.step()
    learners.student_schedule.step()
    return {name: term.detach() for name, term in terms.items()}


def run_summary(history: list[dict[str, Any]], *, final_epochs: int = 10) -> dict[str, float | int]:
    """Return a finished run's headline numbers, fractions all: ``last`` epoch, ``best_on_test`` (an oracle: the test
    split chose it) with its epoch, and ``final_mean`` and ``final_sd`` (n - 1) over the last ``final_epochs`` epochs.
    """
    values = [record["test_accuracy"] for record in history]
    final = torch.tensor(values[-final_epochs:], dtype=torch.float64)
    best = max(range(len(values)), key=values.__getitem__)
    return {
        "last": values[-1],
        "best_on_test": values[best],
        "best_epoch": best + 1,
        "final_mean": final.mean().item(),
        "final_sd": final.std().item() if len(final) > 1 else 0.0,
        "final_epochs": len(final),
    }
