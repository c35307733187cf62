"""Zero-shot distillation's targets: class probabilities that the teacher's last layer makes likely, and their loss."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

LEAST = 1e-4
"""Added to every concentration, because a Dirichlet distribution's must be positive; as in the authors' code."""


def class_similarity(weight: Float[Tensor, "classes features"]) -> Float[Tensor, "classes classes"]:
    """Return how alike classes are to the teacher: the cosines of its last layer's rows, each row stretched to [0, 1].

    A class is most like itself: the diagonal is 1. Rows that are all alike give 1 throughout. The similarity matrix of
    Nayak et al., ICML 2019, "Zero-Shot Knowledge Distillation in Deep Networks", https://arxiv.org/abs/1905.08114.
    """
    rows = F.normalize(weight.detach().float(), dim=1)
    cosines = rows @ rows.T
    lowest = cosines.amin(dim=1, keepdim=True)
    highest = cosines.amax(dim=1, keepdim=True)
    return torch.where(highest > lowest, (cosines - lowest) / (highest - lowest), 1.0)


def draw_targets(
    similarity: Float[Tensor, "classes classes"],
    labels: Int[Tensor, " batch"],
    concentrations: Float[Tensor, " batch"],
    *,
    source: np.random.Generator,
) -> Float[Tensor, "batch classes"]:
    """Return class probabilities y_i ~ Dirichlet(beta_i * c_i), c_i the row of ``similarity`` of image i's class.

    The smaller ``concentrations[i]``, the paper's beta, the more of an image's probability one class has.
    """
    alphas = concentrations[:, None].double() * similarity.double()[labels] + LEAST
    drawn = [source.dirichlet(alpha) for alpha in alphas.cpu().numpy()]
    return torch.from_numpy(np.stack(drawn)).float().to(similarity.device)


def soft_cross_entropy(
    logits: Float[Tensor, "batch classes"], targets: Float[Tensor, "batch classes"], *, temperature: float
) -> Float[Tensor, ""]:
    """Return ``- sum_c y_c log p_c`` in nats, averaged over the batch, p the softmax at ``temperature``.

    What data impressions minimise over their pixels. Without a factor of the temperature, as published.
    Computed in float32.
    """
    if temperature <= 0:
        raise ValueError(f"`temperature > 0` must hold, but got {temperature=}.")
    return F.cross_entropy(logits.float() / temperature, targets)
