"""Synthetic images as bytes: a quarter of the memory, and what an image file would hold."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from dfkd.config import RunConfig
from dfkd.data import DatasetSpec


@dataclass(frozen=True)
class PixelRange:
    """The range of a run's network inputs, in 255 equal parts; what lies outside is cut off."""

    low: Tensor
    """Least value of each channel, (3, 1, 1)."""
    high: Tensor
    """Greatest value of each channel, likewise."""

    def to_bytes(self, images: Float[Tensor, "batch 3 height width"]) -> UInt8[Tensor, "batch 3 height width"]:
        """Return the images, rounded to the nearest of 256 values."""
        share = (images.float() - self.low) / (self.high - self.low)
        return (share * 255).round().clamp(0, 255).to(torch.uint8)

    def from_bytes(self, stored: UInt8[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
        """Return what ``to_bytes`` was given, up to half a 255th of the range."""
        return torch.addcmul(self.low, stored.float(), (self.high - self.low) / 255)


def pixel_range(config: RunConfig, spec: DatasetSpec, device: torch.device) -> PixelRange:
    """Return the range of what the run's synthesis makes: of pixels in [0, 1] normalised, or of a generator's tanh.

    ``generator.output`` must have a range, which ``standardised`` has not.
    """
    if config.synthesis.kind == "images" or config.generator.output == "pixels":
        ends = spec.normalise(torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 1, 1)).to(device)
        return PixelRange(ends[0], ends[1])
    ones = torch.ones(3, 1, 1, device=device)
    return PixelRange(-ones, ones)
