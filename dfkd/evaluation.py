"""Test accuracy, and images that are decoded once and stay on the device as bytes."""

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from dfkd import NUMERICS
from dfkd.config import ComputeConfig, DataConfig, RunConfig
from dfkd.data import DatasetSpec, ImageSet, PictureSet, TrainingImages, dataset_spec
from dfkd.data.validation import Split
from dfkd.errors import CheckpointError, ConfigError
from dfkd.files import load, save

BATCH = 256

Placed = TypeVar("Placed", bound=nn.Module)

Decoded = TypeVar("Decoded", ImageSet, PictureSet)


def autocast(compute: ComputeConfig, device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which networks run: bfloat16 where the configuration says so."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=compute.precision == "bfloat16")


def memory_format(compute: ComputeConfig) -> torch.memory_format:
    """Return the memory order of images and feature maps."""
    return torch.channels_last if compute.channels_last else torch.contiguous_format


def place(module: Placed, compute: ComputeConfig, device: torch.device) -> Placed:
    """Return ``module`` itself, moved to ``device`` and into the memory order of the run."""
    return module.to(device).to(memory_format=memory_format(compute))


@torch.no_grad()
def accuracy(network: nn.Module, test: ImageSet, spec: DatasetSpec, compute: ComputeConfig) -> float:
    """Return the fraction of ``test`` that ``network`` classifies rightly, in [0, 1]; its mode is left as it was."""
    was_training = network.training
    network.eval()
    device = test.images.device
    correct = torch.zeros((), dtype=torch.int64, device=device)
    for images, labels in zip(test.images.split(BATCH), test.labels.split(BATCH), strict=True):
        with autocast(compute, device):
            logits: Tensor = network(spec.normalise_bytes(images).to(memory_format=memory_format(compute)))
        correct += (logits.argmax(dim=1) == labels).sum()
    network.train(was_training)
    return correct.item() / len(test.labels)


def load_test_images(config: DataConfig, *, root: Path | None, cache: Path | None) -> ImageSet:
    """Return the test split, decoded; from ``cache`` if it was decoded before and no file has changed since.

    Raises:
        DataError: the data set is missing, incomplete or unreadable.
    """
    return _load_cached(replace(config, validation_fraction=0.0), "test", root=root, cache=cache)


def load_training_images(config: RunConfig, *, root: Path | None, cache: Path | None) -> TrainingImages:
    """Return the training images with what ``teacher.crop`` crops from, for what learns from them; cached likewise.

    Raises:
        DataError: the data set is missing, incomplete or unreadable.
    """
    if config.teacher.crop == "square":
        return _load_cached(config.data, "train", root=root, cache=cache)
    load_whole = dataset_spec(config.data.dataset).load_whole
    return _cached(config.data, "train", "whole-", root=root, cache=cache, decode=load_whole, kind=PictureSet)


def load_validation_images(config: DataConfig, *, root: Path | None, cache: Path | None) -> ImageSet:
    """Return the training images that the teacher has not seen, cropped as test images are; cached likewise.

    Raises:
        ConfigError: ``data.validation_fraction`` keeps none aside.
        DataError: the data set is missing, incomplete or unreadable, or a class has a single training image.
    """
    if config.validation_fraction == 0:
        raise ConfigError("`data.validation_fraction` must be > 0 to keep validation images aside, but it is 0.")
    return _load_cached(config, "validation", root=root, cache=cache)


def _load_cached(config: DataConfig, split: Split, *, root: Path | None, cache: Path | None) -> ImageSet:
    load_split = partial(dataset_spec(config.dataset).load, split=split)
    return _cached(config, split, "", root=root, cache=cache, decode=load_split, kind=ImageSet)


def _cached(
    config: DataConfig,
    split: Split,
    prefix: str,
    *,
    root: Path | None,
    cache: Path | None,
    decode: Callable[..., Decoded],
    kind: type[Decoded],
) -> Decoded:
    """Return what ``decode(config, root=root)`` does; from a file in ``cache``, named ``prefix`` first, if it can."""
    signed = repr((NUMERICS, asdict(config), dataset_spec(config.dataset).sign(config, root=root, split=split)))
    signature = hashlib.sha256(signed.encode()).hexdigest()
    path = cache / f"{prefix}{split}-{config.dataset}-{config.image_size}px-{signature[:16]}.pt" if cache else None
    if path and path.is_file():
        try:
            stored = load(path, what=f"cache of {split} images", way_out="")
            return kind(**{**stored, "class_names": tuple(stored["class_names"])})
        except (CheckpointError, KeyError, TypeError):
            path.unlink()  # a damaged cache is made anew
    decoded = decode(config, root=root)
    if path:
        save({**vars(decoded), "class_names": list(decoded.class_names)}, path)
    return decoded
