"""Spatial attention transfer: where the student's stages respond should be where the teacher's do."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def attention_transfer(teacher_maps: Sequence[Tensor], student_maps: Sequence[Tensor]) -> Tensor:
    """Return ``sum_l mean (a(t_l) - a(s_l))^2``, a scalar, over pairs of stages; the mean is over batch and positions.

    ``a(x)`` is a map's mean over its channels of ``x^2``, flattened and scaled to Euclidean length 1. Maps have shape
    (batch, channels, height, width), channels and sizes as they come: stages are paired from the last one back, and the
    larger map of a pair is averaged down to the size of the smaller. Computed in float32; detach what is not trained.

    Zagoruyko & Komodakis, ICLR 2017, section 3.1, as Micaelli & Storkey, NeurIPS 2019, "Zero-shot Knowledge Transfer
    via Adversarial Belief Matching" (ZSKT), equation 4, use it. Their networks have as many stages, of equal sizes.
    """
    count = min(len(teacher_maps), len(student_maps))
    if count == 0:
        raise ValueError(f"Both networks must have stages, but got {len(teacher_maps)=} and {len(student_maps)=}.")
    pairs = zip(teacher_maps[-count:], student_maps[-count:], strict=True)
    return torch.stack([_distance(teacher, student) for teacher, student in pairs]).sum()


def _distance(teacher: Tensor, student: Tensor) -> Tensor:
    height, width = min(teacher.shape[-2:], student.shape[-2:])
    return F.mse_loss(_where(student, (height, width)), _where(teacher, (height, width)))


def _where(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Return where the maps respond, of shape (batch, height * width) and length 1 each."""
    energy = maps.float().square().mean(dim=1, keepdim=True)
    return F.normalize(F.adaptive_avg_pool2d(energy, size).flatten(1), dim=1)
