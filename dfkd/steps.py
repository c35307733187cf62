"""The two steps of the adversarial game: equations 10 and 11."""

import torch
from torch import Tensor

from dfkd.config import RunConfig
from dfkd.learners import Learners
from dfkd.losses import attention_transfer
from dfkd.stepping import Measurements, clip_gradient, divergence, gradient_norm, train_student, weighted_sum


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


def generator_step(config: RunConfig, learners: Learners) -> Measurements:
    """Take one synthesis step, on what ``generator_loss`` says of the images (equation 10); return what it measured."""
    return learners.synthesize()


def student_step(config: RunConfig, learners: Learners) -> Measurements:
    """Take one student step on L_KD + beta * L_MHAD + gamma * L_SFCL (equation 11); return what it measured.

    The images have no graph. Gradients reach the student and the auxiliary modules.
    """
    weights = config.student_loss
    student, passes = learners.student.network, learners.passes
    train_student(student)
    auxiliary = learners.auxiliary
    with learners.autocast():
        with torch.no_grad():
            images = learners.sample()
            teacher_logits, teacher_features = passes.teacher_with_features(images)
        student_logits, student_features = passes.student_with_features(images)
        terms = {
            f"student_loss.{name}": module(teacher_features, student_features) for name, module in auxiliary.items()
        }
    if weights.distillation.weight > 0:
        terms["student_loss.distillation"] = divergence(config, student_logits, teacher_logits)
    if weights.attention_transfer.weight > 0:
        terms["student_loss.attention_transfer"] = attention_transfer(teacher_features.stages, student_features.stages)
    scale = {
        "student_loss.distillation": weights.distillation.weight,
        "student_loss.mhad": weights.mhad.weight,
        "student_loss.sfcl": weights.sfcl.weight,
        "student_loss.attention_transfer": weights.attention_transfer.weight,
    }
    learners.student_optimizer.zero_grad(set_to_none=True)
    weighted_sum(terms, scale).backward()
    norm = gradient_norm(student.parameters())
    clip_gradient(learners.student_optimizer, config.student.gradient_clip_norm)
    learners.student_optimizer.step()
    learners.student_schedule.step()
    measured = {name: term.detach() for name, term in terms.items()} | learners.replay_measured()
    return measured | {"student.gradient_norm": norm} | describe_batch(teacher_logits, student_logits.detach())
