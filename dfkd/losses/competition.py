"""The divergence of two classifiers that has a ceiling: what synthesis seeks where teacher and student compete."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def jensen_shannon(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    *,
    temperature: float,
) -> Float[Tensor, ""]:
    """Return ``(KL(p || m) + KL(q || m)) / 2``, m their mean, in nats, averaged over the batch: 0 to log 2.

    p and q are the softmaxes at ``temperature``. The R_compete of Adaptive DeepInversion is one minus this (Yin et al.,
    CVPR 2020, https://arxiv.org/abs/1912.08795). Two differences from the authors' code: it computes KL(m || p) and
    KL(m || q), and it cuts all probabilities to [0.01, 0.99], which takes the gradient from every class that is less
    likely. Gradients flow to both arguments. Computed in
    float32.
    """
    if temperature <= 0:
        raise ValueError(f"`temperature > 0` must hold, but got {temperature=}.")
    student_log_p = F.log_softmax(student_logits.float() / temperature, dim=-1)
    teacher_log_p = F.log_softmax(teacher_logits.float() / temperature, dim=-1)
    mean_log_p = torch.logaddexp(student_log_p, teacher_log_p) - math.log(2)
    to_mean = [
        F.kl_div(mean_log_p, log_p, reduction="batchmean", log_target=True) for log_p in (student_log_p, teacher_log_p)
    ]
    return (to_mean[0] + to_mean[1]) / 2
