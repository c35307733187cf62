"""Oxford Flowers-102 (Nilsback and Zisserman, 2008, "Automated Flower Classification over a Large Number of Classes").

102 classes, numbered from 1. The publisher has three parts, of 1,020, 1,020 and 6,149 images: training is the first two
together (2,040), as is usual where accuracy on the third is reported.
"""

from pathlib import Path

import numpy as np

from dfkd.data.index import find_base, missing_files, reading
from dfkd.data.listing import ImageFiles, Listing

FOLDER = "flowers-102"


def list_flowers(*, root: Path | None, train: bool) -> Listing:
    """Return the published split; raise DataError if an index file is missing or altered."""
    from torchvision.datasets import Flowers102  # here, because torchvision takes seconds to import

    checksums = dict(Flowers102._file_dict[key] for key in ("label", "setid"))
    base = find_base("flowers102", root, {"jpg": None, **checksums})
    index = base / FOLDER / "setid.mat"
    with reading(index):
        parts = [Flowers102(base, split=part, download=False) for part in (("train", "val") if train else ("test",))]
    folder = base / FOLDER / "jpg"
    names = tuple(Path(path).name for part in parts for path in part._image_files)
    return Listing(
        index=index,
        source=ImageFiles(folder),
        names=names,
        labels=np.array([label for part in parts for label in part._labels], dtype=np.int64),
        class_names=tuple(Flowers102.classes),
        numbers=tuple(range(1, len(Flowers102.classes) + 1)),
        missing=missing_files(folder, names),
    )
