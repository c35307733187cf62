"""What synthetic images are worth: the terms of ``generator_loss`` on given images, whatever made them."""

from torch import Tensor

from dfkd.config import GeneratorLossConfig
from dfkd.stepping import Measurements, divergence, weighted_sum
from dfkd.synthesis.interface import Judges


def synthesis_terms(judges: Judges, images: Tensor) -> Measurements:
    """Return each term that is on, of network inputs of shape (batch, 3, size, size), before its weight and with graph.

    Teacher and student look at the images at most once each; the student only if a term asks it. The caller has frozen
    the student (``freeze_student``), and takes gradients to the images alone.
    """
    config, passes = judges.config, judges.passes
    weights = config.generator_loss
    terms: Measurements = {}
    with judges.autocast():
        teacher_logits, distance = passes.teacher_with_statistics(images)
        student_logits = passes.frozen_student(images) if weights.adversarial.weight > 0 else None
    if distance is not None:
        terms["generator_loss.batch_norm"] = distance
    if student_logits is not None:
        terms["generator_loss.adversarial"] = -divergence(config, student_logits, teacher_logits)
    return terms


def synthesis_weights(config: GeneratorLossConfig) -> dict[str, float]:
    """Return the weight of every term, by its name."""
    return {
        "generator_loss.batch_norm": config.batch_norm.weight,
        "generator_loss.adversarial": config.adversarial.weight,
    }


def minimised(config: GeneratorLossConfig, terms: Measurements) -> Tensor:
    """Return what synthesis minimises, a scalar: the terms, each times its weight, summed."""
    return weighted_sum(terms, synthesis_weights(config))
