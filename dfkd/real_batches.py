"""Real training images as networks are shown them: in random order, cropped, mirrored, normalised."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from dfkd.config import RunConfig
from dfkd.data import ImageSet, dataset_spec
from dfkd.evaluation import memory_format


def epoch_batches(
    config: RunConfig, train: ImageSet, *, size: int, order: torch.Generator, augmentation: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield ``train`` once, in batches of at most ``size``: images of shape (batch, 3, side, side), and labels.

    A last batch of one image is left out, because batch norm needs two.
    """
    for indices in torch.randperm(len(train.labels), generator=order).split(size):
        if len(indices) >= 2:
            yield prepared(config, train, indices, augmentation=augmentation)


def prepared(
    config: RunConfig, train: ImageSet, indices: Tensor, *, augmentation: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return these images, cropped and mirrored at random and normalised, and their labels, on the images' device."""
    spec = dataset_spec(config.data.dataset)
    chosen = indices.to(train.images.device)
    images = augment(
        train.images[chosen],
        size=config.data.image_size,
        padding=config.teacher.crop_padding,
        flip=spec.flip,
        source=augmentation,
    )
    return spec.normalise_bytes(images).to(memory_format=memory_format(config.compute)), train.labels[chosen]


def augment(images: Tensor, *, size: int, padding: int, flip: bool, source: torch.Generator) -> Tensor:
    """Return a random crop of ``size`` of each uint8 image with a reflected border, half of them mirrored if asked."""
    if padding:
        images = F.pad(images.float(), (padding,) * 4, mode="reflect").to(torch.uint8)
    slack = images.shape[-1] - size
    offsets = torch.randint(0, slack + 1, (len(images), 2), generator=source).tolist()
    mirrored = (torch.rand(len(images), generator=source) < 0.5).tolist()
    crops = []
    for image, (top, left), mirror in zip(images, offsets, mirrored, strict=True):
        crop = image[:, top : top + size, left : left + size]
        crops.append(crop.flip(-1) if flip and mirror else crop)
    return torch.stack(crops)
