"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009): 50,000 training and 10,000 test images of 32 pixels, classes from 0.

The batches are pickles, which could run code: torchvision unpickles them only if their checksums are as published.
"""

from pathlib import Path

import numpy as np

from dfkd.data.index import find_base, reading
from dfkd.data.listing import ImageArrays, Listing


def list_cifar(name: str, *, root: Path | None, train: bool) -> Listing:
    """Return the published split of ``cifar10`` or ``cifar100``; raise DataError if a batch is missing or altered."""
    from torchvision.datasets import CIFAR10, CIFAR100  # here, because torchvision takes seconds to import

    reader = {"cifar10": CIFAR10, "cifar100": CIFAR100}[name]  # CIFAR-100's labels are the 100 fine ones
    batches = reader.train_list if train else reader.test_list
    checksums = dict([*reader.train_list, *reader.test_list, (reader.meta["filename"], reader.meta["md5"])])
    base = find_base(name, root, checksums)
    folder = base / reader.base_folder
    with reading(folder):
        published = reader(base, train=train, download=False)
    split = "train" if train else "test"
    return Listing(
        index=folder,
        source=ImageArrays(published.data, files=tuple(folder / file for file, _ in batches)),
        names=tuple(f"{split}/{i}" for i in range(len(published.targets))),
        labels=np.array(published.targets, dtype=np.int64),
        class_names=tuple(published.classes),
        numbers=tuple(range(len(published.classes))),
    )
