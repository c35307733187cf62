"""L_SFCL, equation 9: a teacher's feature should be nearest to the student's feature of the same image."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def semantic_contrast(
    teacher_features: Float[Tensor, "batch dim"],
    student_features: Float[Tensor, "batch dim"],
    *,
    temperature: float,
) -> Float[Tensor, ""]:
    """Return the mean over i of ``-log(exp(s(t_i, s_i)/tau) / sum_k exp(s(t_i, k)/tau))``, s the cosine.

    k runs over all 2N features but t_i itself: the positive s_i, and the 2(N - 1) features of the other images, from
    both networks. Only the teacher's features are anchors. Gradients flow to both arguments. Computed in float32.
    """
    if temperature <= 0:
        raise ValueError(f"`temperature > 0` must hold, but got {temperature=}.")
    with torch.autocast(teacher_features.device.type, enabled=False):  # it would multiply in bfloat16
        teacher = F.normalize(teacher_features.float(), dim=-1)
        student = F.normalize(student_features.float(), dim=-1)
        to_students = teacher @ student.T / temperature
        to_teachers = teacher @ teacher.T / temperature
    to_teachers = to_teachers.masked_fill(torch.eye(len(teacher), dtype=torch.bool, device=teacher.device), -torch.inf)
    return F.cross_entropy(
        torch.cat([to_students, to_teachers], dim=1), torch.arange(len(teacher), device=teacher.device)
    )
