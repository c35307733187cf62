"""What synthetic images are worth: the terms of ``generator_loss`` on given images, whatever made them."""

from dataclasses import fields

import torch
from torch import Tensor

from dfkd.config import AdversarialConfig, GeneratorLossConfig, RunConfig
from dfkd.losses import (
    activation,
    agreeing,
    class_balance,
    discrepancy,
    jensen_shannon,
    one_hot,
    pixel_norm,
    soft_cross_entropy,
    total_variation,
)
from dfkd.stepping import Measurements, divergence, weighted_sum
from dfkd.synthesis.interface import Judges


def synthesis_terms(
    judges: Judges, images: Tensor, labels: Tensor | None = None, *, targets: Tensor | None = None
) -> Measurements:
    """Return each term that is on, of network inputs of shape (batch, 3, size, size), before its weight and with graph.

    ``labels`` are the classes that were asked for, of shape (batch,); None means the teacher's own. ``targets`` are
    class probabilities that were asked for, (batch, classes). Teacher and student look at the images at most once each;
    the student only if a term asks it. The caller has frozen the student (``freeze_student``), and takes gradients to
    the images alone.
    """
    config, passes = judges.config, judges.passes
    weights = config.generator_loss
    terms: Measurements = {}
    with judges.autocast():
        logits, distance, penultimate = passes.teacher_with_statistics(images)
        student_logits = passes.frozen_student(images) if weights.adversarial.weight > 0 else None
    if distance is not None:
        terms["generator_loss.batch_norm"] = distance
    if student_logits is not None:
        terms["generator_loss.adversarial"] = adversarial(config, student_logits, logits)
    if weights.one_hot.weight > 0:
        terms["generator_loss.one_hot"] = one_hot(logits, labels)
    if weights.class_balance.weight > 0:
        terms["generator_loss.class_balance"] = class_balance(logits)
    if penultimate is not None:
        terms["generator_loss.activation"] = activation(penultimate)
    if targets is not None:
        terms["generator_loss.impressions"] = soft_cross_entropy(
            logits, targets, temperature=weights.impressions.temperature
        )
    if weights.total_variation.weight > 0:
        terms["generator_loss.total_variation"] = total_variation(images)
    if weights.pixel_norm.weight > 0:
        terms["generator_loss.pixel_norm"] = pixel_norm(images)
    return terms


def adversarial(config: RunConfig, student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Return minus the distance between the networks' answers, a scalar; masked images count as distance 0."""
    settings: AdversarialConfig = config.generator_loss.adversarial
    if settings.mask == "agreeing":
        # Where they disagree, the teacher is compared with itself: 0, and so is the gradient.
        agree = agreeing(student_logits, teacher_logits)
        student_logits = torch.where(agree[:, None], student_logits.float(), teacher_logits.float())
    if settings.kind == "distillation":
        return -divergence(config, student_logits, teacher_logits)
    if settings.kind == "jensen_shannon":
        return -jensen_shannon(student_logits, teacher_logits, temperature=settings.temperature)
    return -discrepancy(student_logits, teacher_logits, kind=settings.kind, temperature=settings.temperature)


def minimised(config: GeneratorLossConfig, terms: Measurements) -> Tensor:
    """Return what synthesis minimises, a scalar: the terms, each times its weight, summed."""
    weights = {f"generator_loss.{term.name}": getattr(config, term.name).weight for term in fields(config)}
    return weighted_sum(terms, weights)
