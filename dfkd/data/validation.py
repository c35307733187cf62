"""Which training images are kept aside for validation: a share of each class, the same ones in every run."""

import hashlib
from collections.abc import Sequence
from typing import Literal

import numpy as np

Split = Literal["train", "validation", "test"]
"""``validation`` is carved out of the published training images; ``train`` is the rest of them."""

SALT = "dfkd validation split 1"
"""Hashed with each name. Another salt would be another split: it never changes."""


def in_split(names: Sequence[str], labels: np.ndarray, *, fraction: float, split: Split) -> np.ndarray:
    """Return a boolean per image: whether it belongs to ``split``.

    Of each class, the images whose salted names have the smallest hashes are kept aside: ``fraction`` of them, rounded,
    but at least one, and at least one is left to train on. So the choice depends on no seed and on no other class, and
    a larger fraction keeps all that a smaller one did.

    Args:
        names: what identifies each image in its data set.
        labels: of the same images, all of the published test split or all of the published training split.
        fraction: ``data.validation_fraction``; 0 keeps none aside.
        split: every image of the test split belongs to ``test``.
    """
    if split == "test":
        return np.ones(len(names), dtype=bool)
    held_out = np.zeros(len(names), dtype=bool)
    if fraction > 0:
        hashes = [hashlib.sha256(f"{SALT}\0{name}".encode()).hexdigest() for name in names]
        for label in np.unique(labels):
            ordered = sorted(np.flatnonzero(labels == label).tolist(), key=lambda position: hashes[position])
            count = min(max(1, int(len(ordered) * fraction + 0.5)), len(ordered) - 1)
            held_out[ordered[:count]] = True
    return held_out if split == "validation" else ~held_out
