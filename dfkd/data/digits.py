"""scikit-learn's bundled handwritten digits: 1,797 real images of 8x8 pixels, no download (Alpaydin & Kaynak, 1998)."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from dfkd.config import DataConfig
from dfkd.data.classes import select_classes
from dfkd.data.images import ImageSet
from dfkd.data.listing import ImageArrays, Listing
from dfkd.data.pictures import resized_size
from dfkd.data.validation import Split, in_split
from dfkd.data.whole import PictureSet, picture_set

TEST_SHARE = 0.25
CLASS_NAMES = tuple(str(i) for i in range(10))


def _choose(config: DataConfig, split: Split) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[str, ...]]:
    """Return ``(pixels in 0..16, labels, positions among the bundled images, class names)`` of a split.

    The published data have no split: the chosen classes are divided in a stratified way, three quarters for training.
    """
    from sklearn.datasets import load_digits as bundled  # here, because importing scikit-learn takes a second
    from sklearn.model_selection import train_test_split

    data = bundled()
    chosen, labels, class_names = select_classes(config.classes, CLASS_NAMES, data.target)
    parts = train_test_split(np.arange(len(labels)), test_size=TEST_SHARE, stratify=labels, random_state=0)
    index = np.sort(parts[1 if split == "test" else 0])
    names = [str(position) for position in chosen[index]]
    index = index[in_split(names, labels[index], fraction=config.validation_fraction, split=split)]
    return data.images[chosen[index]], labels[index].astype(np.int64), chosen[index], class_names


def load_digits(config: DataConfig, *, root: Path | None, split: Split) -> ImageSet:
    """Return a split, the same on every machine; ``root`` is not used.

    Pixels of 0..16 are scaled to 0..255, resized bilinearly and repeated over three channels.
    """
    pixels, labels, _, class_names = _choose(config, split)
    gray = torch.from_numpy(np.ascontiguousarray(pixels, dtype=np.float32))[:, None] * (255 / 16)
    size = resized_size(config)
    images = F.interpolate(gray, size=(size, size), mode="bilinear", align_corners=False)
    if split != "train":
        border = (size - config.image_size) // 2
        images = images[..., border : border + config.image_size, border : border + config.image_size]
    images = images.round().clamp(0, 255).to(torch.uint8).expand(-1, 3, -1, -1).contiguous()
    digest = hashlib.sha256(np.ascontiguousarray(pixels, dtype=np.uint8).tobytes() + labels.tobytes())
    return ImageSet(images, torch.from_numpy(labels), class_names, digest.hexdigest())


def load_whole_digits(config: DataConfig, *, root: Path | None) -> PictureSet:
    """Return the training split, whose pictures are the squares of ``load_digits``."""
    squares = load_digits(config, root=root, split="train")
    return picture_set(list(squares.images), squares.labels, squares.class_names, squares.fingerprint)


def list_digits(config: DataConfig, *, root: Path | None, split: Split) -> Listing:
    """Return the names, labels and pixels of a split; ``root`` is not used."""
    pixels, labels, positions, class_names = _choose(config, split)
    colour = np.repeat((pixels * 15).astype(np.uint8)[..., None], 3, axis=-1)
    return Listing(
        index=Path("scikit-learn"),
        source=ImageArrays(colour, files=()),
        names=tuple(f"{positions[i]}/{i}" for i in range(len(labels))),
        labels=labels,
        class_names=class_names,
        numbers=tuple(int(name) for name in class_names),
    )


def sign_digits(config: DataConfig, *, root: Path | None, split: Split) -> str:
    """Return a constant: the images ship with scikit-learn and never change."""
    return "bundled"
