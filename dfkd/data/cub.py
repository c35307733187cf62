"""The CUB_200_2011 directory layout (Wah et al., 2011, "The Caltech-UCSD Birds-200-2011 Dataset")."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dfkd.config import DataConfig
from dfkd.data.classes import select_classes
from dfkd.data.images import ImageSet, resized_size
from dfkd.errors import DataError

FOLDER = "CUB_200_2011"


@dataclass(frozen=True)
class _Listing:
    """One split, as the index files list it."""

    folder: Path
    names: tuple[str, ...]
    labels: np.ndarray
    class_names: tuple[str, ...]


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
    raise DataError(
        f"The data root must hold the folder {FOLDER}, but {root} {reason}. Give its place with `--data-root`."
    )


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


def _list_split(config: DataConfig, root: Path | None, *, train: bool) -> _Listing:
    folder = find_folder(root)
    images = dict(_read_table(folder / "images.txt"))
    for number, name in images.items():
        if not (folder / "images" / name).is_file():
            raise DataError(
                f"{folder / 'images.txt'}: every image that it names must exist, but image {number}, "
                f"{folder / 'images' / name}, does not. Restore the file, or take its line out."
            )
    classes = sorted(_read_table(folder / "classes.txt"))
    labels = {number: label for label, (number, _) in enumerate(classes)}
    class_numbers = _read_numbers(folder / "image_class_labels.txt", images)
    unknown = set(class_numbers.tolist()) - labels.keys()
    if unknown:
        raise DataError(
            f"{folder / 'classes.txt'} must name every class of image_class_labels.txt, but not {min(unknown)}."
        )
    positions, new, class_names = select_classes(
        config.classes,
        [name for _, name in classes],
        np.array([labels[number] for number in class_numbers.tolist()]),
        numbers=list(labels),
    )
    in_split = _read_numbers(folder / "train_test_split.txt", images)[positions] == (1 if train else 0)
    positions, new = positions[in_split], new[in_split]
    split = "training" if train else "test"
    empty = sorted(set(range(len(class_names))) - set(new.tolist()))
    if empty:
        raise DataError(f"Every class must have a {split} image, but {class_names[empty[0]]} has none in {folder}.")
    names = list(images.values())
    return _Listing(folder, tuple(names[i] for i in positions), new.astype(np.int64), class_names)


def decode(content: bytes, path: Path, config: DataConfig, *, crop: bool) -> np.ndarray:
    """Return an image file as uint8 of shape (size, size, 3): shorter side resized, centre cropped to a square.

    Raises:
        DataError: not an image, or a damaged one.
    """
    try:
        with Image.open(BytesIO(content)) as file:
            image = file.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"Every image must decode, but {path} does not: {error}. Restore the file.") from None
    size = resized_size(config)
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    kept = config.image_size if crop else size
    left, top = (width - kept) // 2, (height - kept) // 2
    return np.asarray(image.crop((left, top, left + kept, top + kept)))


def load_cub(config: DataConfig, *, root: Path | None, train: bool) -> ImageSet:
    """Return a split of the official one, decoded; training images are square and keep the border to crop from."""
    listing = _list_split(config, root, train=train)
    digest = hashlib.sha256()
    arrays = []
    for name, label in zip(listing.names, listing.labels.tolist(), strict=True):
        path = listing.folder / "images" / name
        content = path.read_bytes()
        digest.update(f"{name}\0{label}\0{hashlib.sha256(content).hexdigest()}\n".encode())
        arrays.append(decode(content, path, config, crop=not train))
    images = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous()
    return ImageSet(images, torch.from_numpy(listing.labels), listing.class_names, digest.hexdigest())


def sign_cub(config: DataConfig, *, root: Path | None) -> str:
    """Return a hash of the test files' names, labels, sizes and times; raise DataError if a listed file is missing."""
    listing = _list_split(config, root, train=False)
    digest = hashlib.sha256(str(listing.folder.resolve()).encode())
    for name, label in zip(listing.names, listing.labels.tolist(), strict=True):
        stat = (listing.folder / "images" / name).stat()
        digest.update(f"{name}\0{label}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()
