"""The half of an autoencoder that the generator lacks: four convolutions that undo what its four blocks do."""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

CHANNELS = (3, 64, 64, 128, 256)
"""Of the images and after each block: those of the generator (Table 6) from the last to the first."""


class Encoder(nn.Module):
    """Images of shape (batch, 3, size, size) to mean and log-variance of their codes, both (batch, code)."""

    def __init__(self, code_size: int, *, image_size: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.blocks = nn.Sequential(
                *(_block(before, after) for before, after in pairwise(CHANNELS)), nn.Flatten(start_dim=1)
            )
            self.moments = nn.Linear(CHANNELS[-1] * (image_size // 16) ** 2, 2 * code_size)

    def forward(
        self, images: Float[Tensor, "batch 3 size size"]
    ) -> tuple[Float[Tensor, "batch code"], Float[Tensor, "batch code"]]:
        """Return mean and log-variance of each image's code, in float32."""
        mean, log_variance = self.moments(self.blocks(images)).float().chunk(2, dim=1)
        return mean, log_variance


def _block(before: int, after: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)
    )
