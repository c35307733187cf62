"""Splits of data sets that are listed by an index: chosen, checked, decoded, signed. One way for all of them."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from PIL import Image

from dfkd.config import DataConfig
from dfkd.data.classes import select_classes
from dfkd.data.images import ImageSet
from dfkd.data.listing import Listing
from dfkd.data.pictures import resized_size, square
from dfkd.data.validation import Split, in_split
from dfkd.data.whole import PictureSet, picture_set, shorter_side_resized
from dfkd.errors import DataError

_ADJECTIVES = {"train": "training", "validation": "validation", "test": "test"}


@runtime_checkable
class Lister(Protocol):
    """Reads the index of a data set as its publisher laid it out."""

    def __call__(self, *, root: Path | None, train: bool) -> Listing:
        """Return the published training or test split, of all classes; raise DataError if the index is unreadable."""
        ...


def list_chosen(lister: Lister, config: DataConfig, *, root: Path | None, split: Split) -> Listing:
    """Return the images of a split whose class is chosen; they may be missing from the disk, and classes empty.

    Raises:
        DataError: the index is missing or unreadable, or the chosen classes do not exist.
    """
    published = lister(root=root, train=split != "test")
    outside = [label for label in published.labels.tolist() if not 0 <= label < len(published.class_names)]
    if outside:
        raise DataError(
            f"{published.index} must give every image one of the {len(published.class_names)} classes, "
            f"but it gives one the class {outside[0] + published.numbers[0]}. Restore the file."
        )
    positions, labels, class_names = select_classes(
        config.classes, published.class_names, published.labels, numbers=published.numbers
    )
    names = [published.names[i] for i in positions]
    kept = np.flatnonzero(in_split(names, labels, fraction=config.validation_fraction, split=split))
    number_of = dict(zip(published.class_names, published.numbers, strict=True))
    return replace(
        published,
        names=tuple(names[i] for i in kept),
        labels=labels[kept].astype(np.int64),
        class_names=class_names,
        numbers=tuple(number_of[name] for name in class_names),
    )


def list_complete(lister: Lister, config: DataConfig, *, root: Path | None, split: Split) -> Listing:
    """Return what ``list_chosen`` does, if every listed image exists and every class has one; raise DataError if not.

    An image missing from any class or, where one index serves both, from the other split, is an error too.
    """
    listing = list_chosen(lister, config, root=root, split=split)
    if listing.missing:
        others = f" (nor do {len(listing.missing) - 1} others)" if len(listing.missing) > 1 else ""
        raise DataError(
            f"{listing.index}: every image that it names must exist, but {listing.missing[0]} does not{others}. "
            "Restore the file, or take its line out."
        )
    empty = sorted(set(range(len(listing.class_names))) - set(listing.labels.tolist()))
    if empty:
        hint = " (two training images are needed to keep one aside)" if split == "validation" else ""
        raise DataError(
            f"Every class must have a {_ADJECTIVES[split]} image{hint}, but {listing.class_names[empty[0]]} has none "
            f"in {listing.index}. Restore its images, or leave it out with `data.classes`."
        )
    return listing


def load_listed(lister: Lister, config: DataConfig, *, root: Path | None, split: Split) -> ImageSet:
    """Return a split, decoded; training images are square and keep the border to crop from.

    Raises:
        DataError: the data set is missing or incomplete, or an image is damaged.
    """
    listing = list_complete(lister, config, root=root, split=split)
    size = resized_size(config) if split == "train" else config.image_size
    images = np.empty((len(listing.names), 3, size, size), dtype=np.uint8)
    prints = []
    for i, (picture, line) in enumerate(_pictures(listing)):
        images[i] = square(picture, config, crop=split != "train").transpose(2, 0, 1)
        prints.append(line)
    return ImageSet(
        torch.from_numpy(images), torch.from_numpy(listing.labels), listing.class_names, _fingerprint(prints)
    )


def load_listed_whole(lister: Lister, config: DataConfig, *, root: Path | None) -> PictureSet:
    """Return the training split, decoded, each picture in its own shape; raise DataError as ``load_listed`` does."""
    listing = list_complete(lister, config, root=root, split="train")
    pictures, prints = [], []
    for picture, line in _pictures(listing):
        pictures.append(shorter_side_resized(picture, resized_size(config)))
        prints.append(line)
    return picture_set(pictures, torch.from_numpy(listing.labels), listing.class_names, _fingerprint(prints))


def _pictures(listing: Listing) -> Iterator[tuple[Image.Image, str]]:
    """Yield each picture of a listing, and the line that it adds to the fingerprint."""
    for name, label in zip(listing.names, listing.labels.tolist(), strict=True):
        content = listing.source.content(name)
        line = f"{name}\0{label}\0{hashlib.sha256(content).hexdigest()}\n"
        yield listing.source.picture(name, content), line


def _fingerprint(lines: list[str]) -> str:
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def sign_listed(lister: Lister, config: DataConfig, *, root: Path | None, split: Split) -> str:
    """Return a hash of the split's names, labels, sizes and times; raise DataError if a listed file is missing."""
    listing = list_complete(lister, config, root=root, split=split)
    digest = hashlib.sha256(str(listing.index.resolve()).encode())
    for name, label in zip(listing.names, listing.labels.tolist(), strict=True):
        digest.update(f"{name}\0{label}\0{listing.source.stamp(name)}\n".encode())
    return digest.hexdigest()
