"""Images and teachers that a process loads once for all the cells that it runs."""

from functools import lru_cache
from pathlib import Path

import torch

from dfkd.config import DataConfig, RunConfig
from dfkd.data import ImageSet, TrainingImages
from dfkd.evaluation import load_test_images, load_training_images, load_validation_images
from dfkd.teacher import Teacher, load_teacher
from harness.inputs import Where
from harness.store import Store


@lru_cache(maxsize=4)
def _cached_test_images(config: DataConfig, root: Path | None, cache: Path, device: str) -> ImageSet:
    return load_test_images(config, root=root, cache=cache).to(torch.device(device))


@lru_cache(maxsize=4)
def _cached_teacher(config: RunConfig, path: Path, written: int, class_names: tuple[str, ...]) -> Teacher:
    return load_teacher(config, path, class_names=class_names, way_out="Train it again with `dfkd teacher`.")


@lru_cache(maxsize=2)
def _cached_training_images(config: RunConfig, root: Path | None, cache: Path, device: str) -> TrainingImages:
    return load_training_images(config, root=root, cache=cache).to(torch.device(device))


def real_images(config: RunConfig, where: Where) -> TrainingImages | None:
    """Return the training images for a method that learns from them, on the device; None for a data-free one."""
    if not config.learns_from_real_images:
        return None
    shared = RunConfig(data=config.data, teacher=config.teacher)
    return _cached_training_images(shared, where.data_root, Store(where.store).cache, where.device)


@lru_cache(maxsize=4)
def _cached_validation_images(config: DataConfig, root: Path | None, cache: Path, device: str) -> ImageSet:
    return load_validation_images(config, root=root, cache=cache).to(torch.device(device))


def validation_images(config: RunConfig, where: Where) -> ImageSet | None:
    """Return the training images kept aside, on the device; None if ``data.validation_fraction`` keeps none."""
    if config.data.validation_fraction == 0:
        return None
    return _cached_validation_images(config.data, where.data_root, Store(where.store).cache, where.device)


def forget_inputs() -> None:
    """Drop what this process keeps between cells: a step that was broken off may have left hooks or modes on it."""
    for cached in (_cached_test_images, _cached_teacher, _cached_training_images, _cached_validation_images):
        cached.cache_clear()


def worker_inputs(config: RunConfig, where: Where, path: Path) -> tuple[Teacher, ImageSet]:
    """Return the teacher in ``path`` and test images, on the device, loaded once in a process for all its cells.

    Several teachers and data sets are kept at a time, so that cells of several columns of a table may alternate.
    """
    test = _cached_test_images(config.data, where.data_root, Store(where.store).cache, where.device)
    shared = RunConfig(data=config.data, teacher=config.teacher)  # so that cells of other losses share the teacher
    return _cached_teacher(shared, path, path.stat().st_mtime_ns, test.class_names), test
