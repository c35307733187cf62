"""Random crops of real training images, as ``teacher.crop`` asks for."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torchvision.transforms import v2

from dfkd.augmentation import augment
from dfkd.config import RunConfig, TeacherConfig
from dfkd.data import PictureSet, TrainingImages


def random_crops(
    config: RunConfig, train: TrainingImages, indices: Tensor, *, flip: bool, source: torch.Generator
) -> Tensor:
    """Return a random crop of each of these images, uint8 (batch, 3, size, size), half of them mirrored with ``flip``.

    Every draw is from ``source``. Crops of whole pictures are torchvision's, one picture after another.

    Raises:
        ValueError: ``teacher.crop`` is for whole pictures and ``train`` holds squares, or the other way round.
    """
    settings, size = config.teacher, config.data.image_size
    if (settings.crop == "square") == isinstance(train, PictureSet):
        raise ValueError(
            f"`train` must hold squares (`load`) where `teacher.crop` is 'square', and else whole pictures "
            f"(`load_whole`), but it is {settings.crop!r} and `train` a {type(train).__name__}."
        )
    if isinstance(train, PictureSet):
        crop = v2.Compose([_crop(settings, size), v2.RandomHorizontalFlip(0.5 if flip else 0.0)])
        with _global_draws_from(source):
            return torch.stack([crop(picture) for picture in train.pictures(indices)])
    images = train.images[indices.to(train.images.device)]
    return augment(images, size=size, padding=settings.crop_padding, flip=flip, source=source)


def _crop(settings: TeacherConfig, size: int) -> v2.Transform:
    """Return torchvision's transform; its defaults are the authors' (areas of 8 to 100 %, sides of 3:4 to 4:3)."""
    if settings.crop == "resized":
        return v2.RandomResizedCrop(size)
    return v2.RandomCrop(size, padding=settings.crop_padding or None, padding_mode="reflect")


@contextmanager
def _global_draws_from(source: torch.Generator) -> Iterator[None]:
    """Let ``source`` stand in for torch's global random generator, which torchvision draws from; on the CPU."""
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(source.get_state())
        yield
        source.set_state(torch.get_rng_state())
