"""What a teacher or student is to the rest of the trainer: a network, and the places where its features are read."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Classifier:
    """A network and the module paths at which its features are taken; the network itself is not edited."""

    network: nn.Module
    """Images of shape (batch, 3, size, size), normalised, to logits of shape (batch, classes)."""
    stages: tuple[str, ...]
    """Paths of the modules whose outputs are the stages' feature maps, coarsest last."""
    stage_channels: tuple[int, ...]
    """Channels of each stage."""
    stage_sizes: tuple[int, ...]
    """Height and width of each stage's map in pixels."""
    head: str
    """Path of the last linear layer, whose input is the penultimate feature."""
    feature_size: int
    """Length of the penultimate feature."""


def stem_stride(image_size: int) -> int:
    """Return how far a residual network's first layers shrink an image: 1 below 48 pixels, 2 below 112, then 4."""
    if image_size < 48:
        return 1
    return 2 if image_size < 112 else 4


def map_sizes(image_size: int, strides: Sequence[int]) -> tuple[int, ...]:
    """Return the height of the map at each total stride, where every layer that halves rounds up."""
    return tuple(-(-image_size // stride) for stride in strides)
