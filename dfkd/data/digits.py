"""scikit-learn's bundled handwritten digits: 1,797 real images of 8x8 pixels, no download (Alpaydin & Kaynak, 1998)."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from dfkd.config import DataConfig
from dfkd.data.classes import select_classes
from dfkd.data.images import ImageSet, resized_size

TEST_SHARE = 0.25


def load_digits(config: DataConfig, *, root: Path | None, train: bool) -> ImageSet:
    """Return a stratified split, three quarters for training, the same on every machine; ``root`` is not used.

    Pixels of 0..16 are scaled to 0..255, resized bilinearly and repeated over three channels.
    """
    from sklearn.datasets import load_digits as bundled  # here, because importing scikit-learn takes a second
    from sklearn.model_selection import train_test_split

    data = bundled()
    chosen, labels, class_names = select_classes(config.classes, [str(i) for i in range(10)], data.target)
    pixels = data.images[chosen]
    split = train_test_split(np.arange(len(labels)), test_size=TEST_SHARE, stratify=labels, random_state=0)
    index = np.sort(split[0 if train else 1])
    pixels, labels = pixels[index], labels[index]

    gray = torch.from_numpy(np.ascontiguousarray(pixels, dtype=np.float32))[:, None] * (255 / 16)
    size = resized_size(config)
    images = F.interpolate(gray, size=(size, size), mode="bilinear", align_corners=False)
    if not train:
        border = (size - config.image_size) // 2
        images = images[..., border : border + config.image_size, border : border + config.image_size]
    images = images.round().clamp(0, 255).to(torch.uint8).expand(-1, 3, -1, -1).contiguous()
    digest = hashlib.sha256(np.ascontiguousarray(pixels, dtype=np.uint8).tobytes() + labels.astype(np.int64).tobytes())
    return ImageSet(images, torch.from_numpy(labels.astype(np.int64)), class_names, digest.hexdigest())


def sign_digits(config: DataConfig, *, root: Path | None) -> str:
    """Return a constant: the images ship with scikit-learn and never change."""
    return "bundled"
