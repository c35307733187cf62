"""Real training images as networks are shown them: in random order, cropped, mirrored, normalised."""

from collections.abc import Iterator

import torch
from torch import Tensor

from dfkd.config import RunConfig
from dfkd.crops import random_crops
from dfkd.data import TrainingImages, dataset_spec
from dfkd.evaluation import memory_format


def epoch_batches(
    config: RunConfig, train: TrainingImages, *, size: int, order: torch.Generator, augmentation: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield ``train`` once, in batches of at most ``size``: images of shape (batch, 3, side, side), and labels.

    A last batch of one image is left out, because batch norm needs two.
    """
    for indices in torch.randperm(len(train.labels), generator=order).split(size):
        if len(indices) >= 2:
            yield prepared(config, train, indices, augmentation=augmentation)


def prepared(
    config: RunConfig, train: TrainingImages, indices: Tensor, *, augmentation: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return these images, cropped and mirrored at random and normalised, and their labels, on the images' device."""
    spec = dataset_spec(config.data.dataset)
    images = random_crops(config, train, indices, flip=spec.flip, source=augmentation)
    labels = train.labels[indices.to(train.labels.device)]
    return spec.normalise_bytes(images).to(memory_format=memory_format(config.compute)), labels
