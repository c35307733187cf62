"""FGVC-Aircraft (Maji et al., 2013, "Fine-Grained Visual Classification of Aircraft"), by variant, family or maker.

100 variants, 70 families, 30 manufacturers; 6,667 training (the published trainval) and 3,333 test images. The
publisher does not number its classes: ours run from 0, in the order of its lists. The 20 pixels of copyright notice
below each photograph are left in, as the paper's loader leaves them.
"""

from pathlib import Path

import numpy as np

from dfkd.data.index import find_base, missing_files, reading
from dfkd.data.listing import ImageFiles, Listing

FOLDER = "fgvc-aircraft-2013b"
CLASS_LISTS = {"variant": "variants.txt", "family": "families.txt", "manufacturer": "manufacturers.txt"}
"""By level of the hierarchy."""


def list_aircraft(level: str, *, root: Path | None, train: bool) -> Listing:
    """Return the published split at a ``level`` of ``CLASS_LISTS``; raise DataError if an index file is unreadable."""
    from torchvision.datasets import FGVCAircraft  # here, because torchvision takes seconds to import

    lists = {part: f"data/images_{level}_{part}.txt" for part in ("trainval", "test")}
    required = (f"data/{CLASS_LISTS[level]}", *lists.values(), "data/images")
    base = find_base(f"aircraft_{level}", root, dict.fromkeys(required))
    part = "trainval" if train else "test"
    index = base / FOLDER / lists[part]
    with reading(index):
        published = FGVCAircraft(base, split=part, annotation_level=level, download=False)
    folder = base / FOLDER / "data" / "images"
    names = tuple(Path(path).name for path in published._image_files)
    return Listing(
        index=index,
        source=ImageFiles(folder),
        names=names,
        labels=np.array(published._labels, dtype=np.int64),
        class_names=tuple(published.classes),
        numbers=tuple(range(len(published.classes))),
        missing=missing_files(folder, names),
    )
