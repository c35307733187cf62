"""The CUB_200_2011 directory layout (Wah et al., 2011, "The Caltech-UCSD Birds-200-2011 Dataset")."""

from collections import Counter
from pathlib import Path

import numpy as np

from dfkd.data.listing import ImageFiles, Listing
from dfkd.data.sources import way_out
from dfkd.errors import DataError

FOLDER = "CUB_200_2011"


def find_folder(root: Path | None) -> Path:
    """Return the folder that holds images.txt: ``root`` itself, or CUB_200_2011 in it.

    Raises:
        DataError: there is none.
    """
    if root is None:
        raise DataError(
            f"The data set cub200 must be read from disk: give `--data-root DIR`, the folder that holds {FOLDER}."
        )
    for folder in (root / FOLDER, root):
        if (folder / "images.txt").is_file():
            return folder
    reason = f"holds neither {FOLDER}/images.txt nor images.txt" if root.is_dir() else "does not exist"
    raise DataError(f"The data root must hold the folder {FOLDER}, but {root} {reason}. {way_out('cub200')}")


def _read_table(path: Path) -> list[tuple[int, str]]:
    """Return the lines ``number text`` of an index file."""
    rows = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"The data set must have its index file {path}, but it cannot be read: {error}.") from None
    for i, line in enumerate(lines, 1):
        number, _, text = line.strip().partition(" ")
        if not number.isdecimal() or not text:
            raise DataError(f"{path}, line {i}: each line must be a number, a space and a value, but it is {line!r}.")
        rows.append((int(number), text))
    repeated, times = Counter(number for number, _ in rows).most_common(1)[0] if rows else (0, 0)
    if times > 1:
        raise DataError(f"{path} must list each number once, but {repeated} stands there {times} times.")
    if not rows:
        raise DataError(f"{path} must list something, but it is empty.")
    return rows


def _read_numbers(path: Path, images: dict[int, str]) -> np.ndarray:
    """Return one integer per image, in the order of ``images``."""
    table = dict(_read_table(path))
    missing = [number for number in images if not table.get(number, "").strip().isdecimal()]
    if missing:
        raise DataError(f"{path} must give every image of images.txt a whole number, but image {missing[0]} has none.")
    return np.array([int(table[number]) for number in images])


def list_cub(*, root: Path | None, train: bool) -> Listing:
    """Return the published training or test split; raise DataError if an index file is missing or malformed."""
    folder = find_folder(root)
    images = dict(_read_table(folder / "images.txt"))
    classes = sorted(_read_table(folder / "classes.txt"))
    labels = {number: label for label, (number, _) in enumerate(classes)}
    class_numbers = _read_numbers(folder / "image_class_labels.txt", images)
    unknown = set(class_numbers.tolist()) - labels.keys()
    if unknown:
        raise DataError(
            f"{folder / 'classes.txt'} must name every class of image_class_labels.txt, but not {min(unknown)}."
        )
    kept = _read_numbers(folder / "train_test_split.txt", images) == (1 if train else 0)
    names = list(images.values())
    source = ImageFiles(folder / "images")
    return Listing(
        index=folder / "images.txt",
        source=source,
        names=tuple(names[i] for i in np.flatnonzero(kept)),
        labels=np.array([labels[number] for number in class_numbers[kept].tolist()], dtype=np.int64),
        class_names=tuple(name for _, name in classes),
        numbers=tuple(labels),
        missing=tuple(
            f"image {number}, {source.folder / name},"
            for number, name in images.items()
            if not (source.folder / name).is_file()
        ),
    )
