"""Decoded images and what is known of their data set."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from dfkd.config import DataConfig
from dfkd.data.listing import Listing
from dfkd.data.validation import Split
from dfkd.data.whole import PictureSet


@dataclass(frozen=True)
class ImageSet:
    """One split of a data set, decoded, in memory."""

    images: Tensor
    """uint8, (count, 3, size, size)."""
    labels: Tensor
    """int64, (count,), from 0 to the number of classes - 1."""
    class_names: tuple[str, ...]
    """By label."""
    fingerprint: str
    """Hash of the files' bytes, names and labels: what the numbers measured on it depend on."""

    def to(self, device: torch.device) -> "ImageSet":
        """Return the same images on ``device``."""
        return ImageSet(self.images.to(device), self.labels.to(device), self.class_names, self.fingerprint)


TrainingImages = ImageSet | PictureSet
"""What a network is trained on: squares, or whole pictures, as ``teacher.crop`` asks for."""


@runtime_checkable
class SplitLister(Protocol):
    """Lists one split without decoding it."""

    def __call__(self, config: DataConfig, *, root: Path | None, split: Split) -> Listing:
        """Return the split's images of the chosen classes; images may be missing and classes empty."""
        ...


@runtime_checkable
class Loader(Protocol):
    """Reads one split from disk."""

    def __call__(self, config: DataConfig, *, root: Path | None, split: Split) -> ImageSet:
        """Return the split; training images keep the border that ``crop_fraction`` cuts off, the others do not."""
        ...


@runtime_checkable
class WholeLoader(Protocol):
    """Reads the training split from disk, each picture in its own shape."""

    def __call__(self, config: DataConfig, *, root: Path | None) -> PictureSet:
        """Return the split; the shorter sides are as long as those of the squares that a ``Loader`` returns."""
        ...


@runtime_checkable
class Signer(Protocol):
    """Tells cheaply whether a split on disk has changed since it was last decoded."""

    def __call__(self, config: DataConfig, *, root: Path | None, split: Split) -> str:
        """Return a string that changes with the names, sizes and times of the split's files; check that they exist."""
        ...


@dataclass(frozen=True)
class DatasetSpec:
    """A data set that can be named in ``data.dataset``."""

    title: str
    """As a table prints it."""
    mean: tuple[float, float, float]
    """Per channel, of pixels in [0, 1]: what the networks' inputs are normalised by."""
    std: tuple[float, float, float]
    """Per channel, likewise."""
    flip: bool
    """Whether a mirrored image still shows the same class."""
    gray: bool
    """Whether its images have equal colour channels; a generator's images are then made gray too."""
    list_split: SplitLister
    """List a split."""
    load: Loader
    """Decode a split."""
    load_whole: WholeLoader
    """Decode the training split, cutting nothing off."""
    sign: Signer
    """Sign a split."""

    def normalise(self, pixels: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
        """Return pixels in [0, 1] as the networks see them: (pixels - mean) / std."""
        mean = torch.tensor(self.mean, device=pixels.device).view(3, 1, 1)
        std = torch.tensor(self.std, device=pixels.device).view(3, 1, 1)
        return (pixels - mean) / std

    def normalise_bytes(self, images: UInt8[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
        """Return uint8 images as the networks see them."""
        return self.normalise(images.float() / 255)

    def denormalise(self, inputs: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
        """Return what the networks see as pixels that can be shown: the inverse of ``normalise``, cut to [0, 1]."""
        mean = torch.tensor(self.mean, device=inputs.device).view(3, 1, 1)
        std = torch.tensor(self.std, device=inputs.device).view(3, 1, 1)
        return (inputs * std + mean).clamp(0, 1)

    def generated(
        self, images: Float[Tensor, "batch 3 height width"], output: str
    ) -> Float[Tensor, "batch 3 height width"]:
        """Return a generator's images in [-1, 1] as the networks see them; gray if the data are.

        ``output`` is ``generator.output`` of the configuration.
        """
        if self.gray:
            images = images.mean(dim=1, keepdim=True).expand_as(images)
        if output == "pixels":
            return self.normalise((images + 1) / 2)
        if output == "standardised":
            return nn.functional.batch_norm(images, None, None, training=True)
        return images
