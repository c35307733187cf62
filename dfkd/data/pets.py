"""Oxford-IIIT Pets (Parkhi et al., 2012, "Cats and Dogs"): 37 breeds, numbered from 1; 3,680 training (the published
trainval) and 3,669 test images.
"""

from pathlib import Path

import numpy as np

from dfkd.data.index import find_base, missing_files, reading
from dfkd.data.listing import ImageFiles, Listing

FOLDER = "oxford-iiit-pet"


def list_pets(*, root: Path | None, train: bool) -> Listing:
    """Return the published split; raise DataError if an index file is missing or unreadable."""
    from torchvision.datasets import OxfordIIITPet  # here, because torchvision takes seconds to import

    part = "trainval" if train else "test"
    base = find_base("pets", root, dict.fromkeys(("annotations/trainval.txt", "annotations/test.txt", "images")))
    index = base / FOLDER / "annotations" / f"{part}.txt"
    with reading(index):
        published = OxfordIIITPet(base, split=part, download=False)
    folder = base / FOLDER / "images"
    names = tuple(path.name for path in published._images)
    return Listing(
        index=index,
        source=ImageFiles(folder),
        names=names,
        labels=np.array(published._labels, dtype=np.int64),
        class_names=tuple(published.classes),
        numbers=tuple(range(1, len(published.classes) + 1)),
        missing=missing_files(folder, names),
    )
