"""Any folder of images: ``train/CLASS/*`` and ``test/CLASS/*``; classes are the folders, numbered from 0 by name."""

from pathlib import Path

import numpy as np

from dfkd.data.index import find_base, reading
from dfkd.data.listing import ImageFiles, Listing


def list_image_folder(*, root: Path | None, train: bool) -> Listing:
    """Return the split; a class that only the other one has is there without images. Raise DataError if there is none.

    Files that torchvision does not take for images, by their suffix, are left out.
    """
    from torchvision.datasets import ImageFolder  # here, because torchvision takes seconds to import

    base = find_base("imagefolder", root, {"": None, "../test": None})
    folders = {}
    for part in ("train", "test"):
        with reading(base / part):
            folders[part] = ImageFolder(base / part, allow_empty=True)
    class_names = tuple(sorted({name for part in folders.values() for name in part.classes}))
    part = "train" if train else "test"
    chosen = folders[part]
    return Listing(
        index=base / part,
        source=ImageFiles(base),
        names=tuple(Path(path).relative_to(base).as_posix() for path, _ in chosen.samples),
        labels=np.array([class_names.index(chosen.classes[label]) for _, label in chosen.samples], dtype=np.int64),
        class_names=class_names,
        numbers=tuple(range(len(class_names))),
    )
