"""L_MHAD, equation 7: the distance between the attended feature maps of teacher and student."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def attention_distance(teacher_maps: Sequence[Tensor], student_maps: Sequence[Tensor]) -> Tensor:
    """Return the sum over the stages of the mean squared difference of their maps, a scalar.

    A stage's maps have shape (batch, channels, height, width), the same for both networks; the mean is over all four
    axes, which is equation 7's 1/(N C) of the per-map mean. Computed in float32.
    """
    if not teacher_maps or len(teacher_maps) != len(student_maps):
        raise ValueError(f"One map per stage must be given, but got {len(teacher_maps)=} and {len(student_maps)=}.")
    return torch.stack(
        [F.mse_loss(s.float(), t.float()) for t, s in zip(teacher_maps, student_maps, strict=True)]
    ).sum()
