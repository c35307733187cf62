"""Stanford Cars (Krause et al., 2013, "3D Object Representations for Fine-Grained Categorization").

196 classes, 8,144 training and 8,041 test images; classes are numbered from 1.
"""

from pathlib import Path

import numpy as np

from dfkd.data.index import find_base, missing_files, reading
from dfkd.data.listing import ImageFiles, Listing

FOLDER = "stanford_cars"
META = "devkit/cars_meta.mat"
ANNOTATIONS = {True: "devkit/cars_train_annos.mat", False: "cars_test_annos_withlabels.mat"}
"""By whether they are the training images'."""


def list_cars(*, root: Path | None, train: bool) -> Listing:
    """Return the published split; raise DataError if an index file is missing or unreadable."""
    from torchvision.datasets import StanfordCars  # here, because torchvision takes seconds to import

    required = (META, ANNOTATIONS[True], ANNOTATIONS[False], "cars_train", "cars_test")
    base = find_base("stanford_cars", root, dict.fromkeys(required))
    index = base / FOLDER / ANNOTATIONS[train]
    with reading(index):
        published = StanfordCars(base, split="train" if train else "test", download=False)
    samples = published._samples
    folder = base / FOLDER
    names = tuple(Path(path).relative_to(folder).as_posix() for path, _ in samples)
    return Listing(
        index=index,
        source=ImageFiles(folder),
        names=names,
        labels=np.array([int(label) for _, label in samples], dtype=np.int64),
        class_names=tuple(published.classes),
        numbers=tuple(range(1, len(published.classes) + 1)),
        missing=missing_files(folder, names),
    )
