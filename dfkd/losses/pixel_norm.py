"""R_l2 of DeepInversion: pixels should not be extreme."""

import torch
from jaxtyping import Float
from torch import Tensor


def pixel_norm(images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, ""]:
    """Return the mean over the batch of an image's Euclidean norm.

    R_l2 of DeepInversion, as its code for ImageNet has it; its code for CIFAR-10 takes one norm of the
    whole batch instead.
    """
    return torch.linalg.vector_norm(images.float().flatten(1), dim=1).mean()
