"""The forward passes that the two steps consist of, and how PyTorch runs them by itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from dfkd.config import RunConfig
from dfkd.losses import RememberedStatistics, batch_norm_statistics
from dfkd.models.classifier import Classifier
from dfkd.models.generator import AttentionGenerator
from dfkd.models.taps import Features, tap_batch_norms, tap_features
from dfkd.recomputation import recomputed, run_checkpointed

Pass = TypeVar("Pass")


@dataclass(frozen=True)
class Networks:
    """The networks of one run."""

    teacher: Classifier
    """Frozen."""
    student: Classifier
    """Trained in its own step."""
    generator: AttentionGenerator | None
    """Trained in its own step; None where images are made without one."""
    remembered: RememberedStatistics | None = None
    """What L_BN remembers of former rounds; None where it remembers nothing."""


class Judgement(NamedTuple):
    """What the teacher says of synthetic images, with graph."""

    logits: Tensor
    """Of shape (batch, classes)."""
    batch_norm: Tensor | None
    """L_BN; None if its weight is 0."""
    penultimate: Tensor | None
    """The penultimate features, (batch, feature size); None if no term looks at them."""


@dataclass(frozen=True)
class Passes:
    """One run's forward passes, with its networks bound. Images and features have a batch as their first dimension."""

    generator: Callable[[Tensor], Tensor]
    """Noise to images, where there is a generator."""
    teacher_with_statistics: Callable[[Tensor], Judgement]
    """In the generator's step: images to what the teacher says of them."""
    frozen_student: Callable[[Tensor], Tensor]
    """In the generator's step: images to the student's logits."""
    teacher_with_features: Callable[[Tensor], tuple[Tensor, Features]]
    """In the student's step: images to the teacher's logits and features, which are empty if no term looks at them."""
    student_with_features: Callable[[Tensor], tuple[Tensor, Features]]
    """In the student's step: likewise of the student."""


def looks_at_features(config: RunConfig) -> bool:
    """Return whether a loss term of the student's step looks at features."""
    weights = config.student_loss
    return weights.mhad.weight > 0 or weights.sfcl.weight > 0 or weights.attention_transfer.weight > 0


def judgement(
    networks: Networks,
    logits: Tensor,
    layers: Sequence[nn.BatchNorm2d],
    inputs: Sequence[Tensor],
    penultimate: Tensor | None,
) -> Judgement:
    """Return the teacher's judgement, given its logits and what was tapped on the way to them."""
    if not layers:
        return Judgement(logits, None, penultimate)
    with torch.autocast(logits.device.type, enabled=False):
        return Judgement(logits, batch_norm_statistics(layers, inputs, networks.remembered), penultimate)


def _as_it_is(function: Pass) -> Pass:
    return function


def eager_passes(config: RunConfig, networks: Networks, *, checkpoint_activations: bool = False) -> Passes:
    """Return the passes as PyTorch runs them by itself, where features are tapped by hooks while a pass runs.

    With ``checkpoint_activations`` the generator's step keeps what goes into the networks and into the generator's
    blocks, and the backward pass computes the rest once more, to the same bits.
    """
    teacher, student, generator = networks.teacher, networks.student, networks.generator
    with_features = looks_at_features(config)
    again = recomputed if checkpoint_activations else _as_it_is

    def teacher_with_statistics(images: Tensor) -> Judgement:
        weights = config.generator_loss
        with (
            tap_features(teacher, enabled=weights.activation.weight > 0) as features,
            tap_batch_norms(teacher.network, enabled=weights.batch_norm.weight > 0) as (layers, inputs),
        ):
            logits = teacher.network(images)
        return judgement(networks, logits, layers, inputs, features.penultimate)

    def tapped(classifier: Classifier) -> Callable[[Tensor], tuple[Tensor, Features]]:
        def run(images: Tensor) -> tuple[Tensor, Features]:
            with tap_features(classifier, enabled=with_features) as features:
                logits = classifier.network(images)
            return logits, features

        return run

    def generate(noise: Tensor) -> Tensor:
        assert generator is not None
        if checkpoint_activations and torch.is_grad_enabled():
            return generator.images(noise, run=run_checkpointed)
        return generator(noise)

    def frozen_student(images: Tensor) -> Tensor:
        return student.network(images)

    return Passes(
        generator=generate,
        teacher_with_statistics=again(teacher_with_statistics),
        frozen_student=again(frozen_student),
        teacher_with_features=tapped(teacher),
        student_with_features=tapped(student),
    )
