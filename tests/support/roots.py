"""Tiny data roots in every published layout: three classes, four training and three test images of one colour each."""

import hashlib
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat
from torchvision.datasets import CIFAR10, CIFAR100, Flowers102

TRAIN, TEST = 4, 3
CLASSES = ("Ash Grey", "Brick-Red 300", "Cyan/2")
FOLDERS = ("ash", "brick", "cyan")


def colour(label, train, i):
    """Return an image's colour; the red channel tells its class."""
    return (70 * label + 20, 120 if train else 240, 50 * i + 10)


def plan():
    """Return ``(label, train, i)`` of every image."""
    return [(c, train, i) for c in range(3) for train in (True, False) for i in range(TRAIN if train else TEST)]


def draw(path, label, train, i, size=(10, 8)):
    """Write an image of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour(label, train, i)).save(path, quality=100)


def text(path, lines):
    """Write lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


@dataclass(frozen=True)
class Root:
    """A data root that was made."""

    path: Path
    """What ``--data-root`` is given."""
    folder: str
    """The data set's own folder in it."""
    class_names: tuple[str, ...]
    """As the loader must give them."""
    first_number: int
    """Of the classes."""
    index: str
    """An index file, below ``path``."""
    pictures: dict[tuple[int, bool, int], Path]
    """Files by (label, train, i); empty where there are none."""


def cub200(root, monkeypatch):
    """CUB_200_2011."""
    base, names = root / "CUB_200_2011", [f"{c + 1:03d}.{folder}" for c, folder in enumerate(FOLDERS)]
    pictures = {key: base / "images" / names[key[0]] / f"{'te'[key[1]]}{key[2]}.jpg" for key in plan()}
    for key, path in pictures.items():
        draw(path, *key)
    listed = list(enumerate(pictures, 1))
    text(base / "images.txt", [f"{n} {pictures[key].relative_to(base / 'images')}" for n, key in listed])
    text(base / "image_class_labels.txt", [f"{n} {key[0] + 1}" for n, key in listed])
    text(base / "train_test_split.txt", [f"{n} {int(key[1])}" for n, key in listed])
    text(base / "classes.txt", [f"{c} {name}" for c, name in enumerate(names, 1)])
    return Root(root, base.name, tuple(names), 1, "CUB_200_2011/classes.txt", pictures)


def stanford_cars(root, monkeypatch):
    """Stanford Cars, as torchvision wants it."""
    base, pictures = root / "stanford_cars", {}
    for train, file in ((True, "devkit/cars_train_annos.mat"), (False, "cars_test_annos_withlabels.mat")):
        rows = []
        for n, key in enumerate((key for key in plan() if key[1] == train), 1):
            pictures[key] = base / ("cars_train" if train else "cars_test") / f"{n:05d}.jpg"
            draw(pictures[key], *key)
            rows.append((1, 9, 1, 7, key[0] + 1, pictures[key].name))
        fields = [*((f"bbox_{side}", "i4") for side in ("x1", "x2", "y1", "y2")), ("class", "u1"), ("fname", "O")]
        (base / "devkit").mkdir(exist_ok=True)
        savemat(base / file, {"annotations": np.array(rows, dtype=fields)})
    savemat(base / "devkit/cars_meta.mat", {"class_names": np.array(CLASSES, dtype=object)})
    return Root(root, base.name, CLASSES, 1, "stanford_cars/devkit/cars_meta.mat", pictures)


def aircraft(level, lists):
    """FGVC-Aircraft at one of its levels."""

    def build(root, monkeypatch):
        base = root / "fgvc-aircraft-2013b"
        pictures = {key: base / "data/images" / f"{n:07d}.jpg" for n, key in enumerate(plan(), 34)}
        for key, path in pictures.items():
            draw(path, *key)
        text(base / "data" / lists, CLASSES)
        for train, part in ((True, "trainval"), (False, "test")):
            lines = [f"{path.stem} {CLASSES[key[0]]}" for key, path in pictures.items() if key[1] == train]
            text(base / f"data/images_{level}_{part}.txt", lines)
        return Root(root, base.name, CLASSES, 0, f"{base.name}/data/{lists}", pictures)

    return build


def flowers102(root, monkeypatch):
    """Oxford Flowers-102, with half of the training images in each of its first two parts."""
    base = root / "flowers-102"
    pictures = {key: base / "jpg" / f"image_{n:05d}.jpg" for n, key in enumerate(plan(), 1)}
    for key, path in pictures.items():
        draw(path, *key)
    keys = list(enumerate(pictures, 1))
    savemat(base / "imagelabels.mat", {"labels": np.array([key[0] + 1 for _, key in keys])})
    parts = {
        "trnid": [n for n, (_, train, i) in keys if train and i < 2],
        "valid": [n for n, (_, train, i) in keys if train and i >= 2],
        "tstid": [n for n, (_, train, _) in keys if not train],
    }
    savemat(base / "setid.mat", parts)
    files = {"image": Flowers102._file_dict["image"]}
    files |= {k: (f, md5(base / f)) for k, f in (("label", "imagelabels.mat"), ("setid", "setid.mat"))}
    monkeypatch.setattr(Flowers102, "_file_dict", files)
    monkeypatch.setattr(Flowers102, "classes", list(CLASSES))
    return Root(root, base.name, CLASSES, 1, "flowers-102/setid.mat", pictures)


def pets(root, monkeypatch):
    """Oxford-IIIT Pets."""
    base, names = root / "oxford-iiit-pet", ("Abyssinian", "american_bulldog", "Bengal")
    pictures = {key: base / "images" / f"{names[key[0]]}_{n}.jpg" for n, key in enumerate(plan(), 1)}
    for key, path in pictures.items():
        draw(path, *key)
    for train, part in ((True, "trainval"), (False, "test")):
        lines = [f"{path.stem} {key[0] + 1} 1 1" for key, path in pictures.items() if key[1] == train]
        text(base / f"annotations/{part}.txt", lines)
    titles = ("Abyssinian", "American Bulldog", "Bengal")
    return Root(root, base.name, titles, 1, "oxford-iiit-pet/annotations/test.txt", pictures)


def cifar(reader, key):
    """CIFAR: batches of pickled arrays, with the checksums that torchvision asks for."""

    def build(root, monkeypatch):
        base = root / reader.base_folder
        base.mkdir(parents=True, exist_ok=True)

        def write(name, content):
            (base / name).write_bytes(pickle.dumps(content))
            return md5(base / name)

        checksums = {}
        for train, batches in ((True, reader.train_list), (False, reader.test_list)):
            images = [one for one in plan() if one[1] == train]
            for b, (name, _) in enumerate(batches):
                mine = images[b :: len(batches)]
                rows = [np.repeat(np.array(colour(*one), dtype=np.uint8), 32 * 32) for one in mine]
                checksums[name] = write(name, {"data": np.stack(rows), key: [one[0] for one in mine]})
        meta = {**reader.meta, "md5": write(reader.meta["filename"], {reader.meta["key"]: list(CLASSES)})}
        monkeypatch.setattr(reader, "meta", meta)
        for attribute in ("train_list", "test_list"):
            names = [name for name, _ in getattr(reader, attribute)]
            monkeypatch.setattr(reader, attribute, [[name, checksums[name]] for name in names])
        return Root(root, base.name, CLASSES, 0, f"{base.name}/{reader.meta['filename']}", {})

    return build


def imagefolder(root, monkeypatch):
    """train/CLASS/* and test/CLASS/*."""
    pictures = {key: root / ("train" if key[1] else "test") / FOLDERS[key[0]] / f"{key[2]}.jpg" for key in plan()}
    for key, path in pictures.items():
        draw(path, *key)
    return Root(root, "train", FOLDERS, 0, "test", pictures)


def md5(path):
    """Return a file's checksum."""
    return hashlib.md5(path.read_bytes()).hexdigest()


BUILDERS = {
    "cub200": cub200,
    "stanford_cars": stanford_cars,
    "aircraft_variant": aircraft("variant", "variants.txt"),
    "aircraft_family": aircraft("family", "families.txt"),
    "aircraft_manufacturer": aircraft("manufacturer", "manufacturers.txt"),
    "flowers102": flowers102,
    "pets": pets,
    "cifar10": cifar(CIFAR10, "labels"),
    "cifar100": cifar(CIFAR100, "fine_labels"),
    "imagefolder": imagefolder,
}
"""``BUILDERS[name](root, monkeypatch)`` makes the data set ``name`` and returns its ``Root``."""
