"""R_TV of DeepInversion: neighbouring pixels should be alike."""

import torch
from jaxtyping import Float
from torch import Tensor


def total_variation(images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, ""]:
    """Return the sum over four directions of the Euclidean norm of all differences between neighbouring pixels.

    The directions are right, down and both diagonals; a norm is over all images of the batch together, so the term
    grows with the root of the batch. R_TV as the code of DeepInversion computes it (Yin et al., CVPR 2020,
    https://arxiv.org/abs/1912.08795). Zero for images of one colour; the gradient there is zero too.
    """
    differences = (
        images[..., :, :-1] - images[..., :, 1:],
        images[..., :-1, :] - images[..., 1:, :],
        images[..., 1:, :-1] - images[..., :-1, 1:],
        images[..., :-1, :-1] - images[..., 1:, 1:],
    )
    return torch.stack([torch.linalg.vector_norm(each.float()) for each in differences]).sum()
