"""What steps are made of: networks frozen or trained, terms weighed and summed, gradients measured."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dfkd.config import RunConfig
from dfkd.losses import discrepancy

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


def clip_gradient(optimizer: Optimizer, limit: float) -> None:
    """Shorten the gradient of all that ``optimizer`` trains to the norm ``limit``, unless that is 0."""
    if limit > 0:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        torch.nn.utils.clip_grad_norm_(parameters, limit)


def divergence(config: RunConfig, student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Return L_KD of the configuration's kind, temperature and direction, for whoever plays with it."""
    settings = config.student_loss.distillation
    return discrepancy(
        student_logits,
        teacher_logits,
        kind=settings.kind,
        temperature=settings.temperature,
        direction=settings.direction,
    )


def weighted_sum(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Return the sum of the terms, each times the weight of its name."""
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()
