"""The two steps of the adversarial game: equations 10 and 11."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from dfkd.config import RunConfig
from dfkd.learners import Learners, clip_gradient
from dfkd.losses import soft_target_kl

Measurements = dict[str, Tensor]
"""What a step reports, detached and still on the device: each loss term before its weight, the norm of the gradient,
and what ``describe_batch`` says of the images. Scalars, but for ``synthetic.class_shares``."""


def freeze_student(network: nn.Module, normalisation: str) -> None:
    """Prepare the student for the generator's phase: no gradients, and no batch statistics remembered."""
    network.train(normalisation == "batch").requires_grad_(False)
    _set_batch_norm_memory(network, remember=False)


def train_student(network: nn.Module) -> None:
    """Prepare the student for its own phase."""
    network.train().requires_grad_(True)
    _set_batch_norm_memory(network, remember=True)


def _set_batch_norm_memory(network: nn.Module, *, remember: bool) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.track_running_stats = remember


@torch.no_grad()
def gradient_norm(parameters: Iterable[nn.Parameter]) -> Tensor:
    """Return the Euclidean norm of all gradients together."""
    return torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])


@torch.no_grad()
def describe_batch(teacher_logits: Tensor, student_logits: Tensor) -> Measurements:
    """Return what the teacher makes of a batch of synthetic images.

    ``confidence``: its highest probability; ``entropy``: of its probabilities, in nats; ``agreement``: the share of
    images on which the student's class is the teacher's; ``class_shares``: the share of images that each class got, of
    shape (classes,). All are means over the batch.
    """
    log_probabilities = teacher_logits.float().log_softmax(dim=1)
    probabilities = log_probabilities.exp()
    classes = torch.arange(teacher_logits.shape[1], device=teacher_logits.device)
    chosen = teacher_logits.argmax(dim=1)
    return {
        "synthetic.confidence": probabilities.amax(dim=1).mean(),
        "synthetic.entropy": -(probabilities * log_probabilities).sum(dim=1).mean(),
        "synthetic.agreement": (student_logits.argmax(dim=1) == chosen).float().mean(),
        "synthetic.class_shares": (chosen[:, None] == classes).float().mean(dim=0),
    }


def divergence(config: RunConfig, student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Return L_KD of the configuration's temperature and direction, for whoever plays with it."""
    settings = config.student_loss.distillation
    return soft_target_kl(
        student_logits, teacher_logits, temperature=settings.temperature, direction=settings.direction
    )


def weighted_sum(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Return the sum of the terms, each times the weight of its name."""
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()


def generator_step(config: RunConfig, learners: Learners) -> Measurements:
    """Take one generator step on alpha * L_BN - L_KD (equation 10); return what it measured.

    Teacher and student are frozen: gradients reach the generator alone. The student normalises by the batch's own
    statistics, as when it learns, but remembers none of them (docs/departures.md).
    """
    weights = config.generator_loss
    passes = learners.passes
    learners.generator.train()
    freeze_student(learners.student.network, config.student.normalisation_when_frozen)
    terms: Measurements = {}
    with learners.autocast():
        images = learners.network_input(passes.generator(learners.draw_noise()))
        teacher_logits, distance = passes.teacher_with_statistics(images)
        student_logits = passes.frozen_student(images) if weights.adversarial.weight > 0 else None
    if distance is not None:
        terms["generator_loss.batch_norm"] = distance
    if student_logits is not None:
        terms["generator_loss.adversarial"] = -divergence(config, student_logits, teacher_logits)
    scale = {
        "generator_loss.batch_norm": weights.batch_norm.weight,
        "generator_loss.adversarial": weights.adversarial.weight,
    }
    learners.generator_optimizer.zero_grad(set_to_none=True)
    weighted_sum(terms, scale).backward()
    norm = gradient_norm(learners.generator.parameters())
    learners.generator_optimizer.step()
    learners.generator_schedule.step()
    return {name: term.detach() for name, term in terms.items()} | {"generator.gradient_norm": norm}


def student_step(config: RunConfig, learners: Learners) -> Measurements:
    """Take one student step on L_KD + beta * L_MHAD + gamma * L_SFCL (equation 11); return what it measured.

    The generator makes the images without a graph, by default with the batch statistics it was trained with. Gradients
    reach the student and the auxiliary modules.
    """
    weights = config.student_loss
    student, passes = learners.student.network, learners.passes
    learners.generator.train(config.generator.normalisation_when_frozen == "batch")
    train_student(student)
    auxiliary = learners.auxiliary
    with learners.autocast():
        with torch.no_grad():
            images = learners.network_input(passes.generator(learners.draw_noise()))
            teacher_logits, teacher_features = passes.teacher_with_features(images)
        student_logits, student_features = passes.student_with_features(images)
        terms = {
            f"student_loss.{name}": module(teacher_features, student_features) for name, module in auxiliary.items()
        }
    if weights.distillation.weight > 0:
        terms["student_loss.distillation"] = divergence(config, student_logits, teacher_logits)
    scale = {
        "student_loss.distillation": weights.distillation.weight,
        "student_loss.mhad": weights.mhad.weight,
        "student_loss.sfcl": weights.sfcl.weight,
    }
    learners.student_optimizer.zero_grad(set_to_none=True)
    weighted_sum(terms, scale).backward()
    norm = gradient_norm(student.parameters())
    clip_gradient(config.student, learners.student_optimizer)
    learners.student_optimizer.step()
    learners.student_schedule.step()
    measured = {name: term.detach() for name, term in terms.items()}
    return measured | {"student.gradient_norm": norm} | describe_batch(teacher_logits, student_logits.detach())
