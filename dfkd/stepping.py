"""What steps are made of: networks frozen or trained, terms weighed and summed, gradients measured."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from dfkd.config import RunConfig
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


def divergence(config: RunConfig, student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Return L_KD of the configuration's temperature and direction, for whoever plays with it."""
    settings = config.student_loss.distillation
    return soft_target_kl(
        student_logits, teacher_logits, temperature=settings.temperature, direction=settings.direction
    )


def weighted_sum(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Return the sum of the terms, each times the weight of its name."""
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()
