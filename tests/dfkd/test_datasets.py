"""The contract of every data set on disk: layout, labels, subsets, what is wrong with it, fingerprint and signature."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import CIFAR10

from dfkd.config import DATASETS, DataConfig
from dfkd.data import DATASETS as SPECS
from dfkd.data import dataset_spec
from dfkd.data.sources import SOURCES
from dfkd.errors import DataError
from roots import BUILDERS, TEST, TRAIN, colour, plan

WITH_FILES = [name for name in BUILDERS if not name.startswith("cifar")]


@pytest.fixture(params=BUILDERS)
def name(request):
    return request.param


@pytest.fixture
def root(name, tmp_path, monkeypatch):
    return BUILDERS[name](tmp_path, monkeypatch)


def load(name, root, *, split="test", **changes):
    config = DataConfig(dataset=name, **{"image_size": 16, "crop_fraction": 1.0} | changes)
    return dataset_spec(name).load(config, root=root, split=split)


def sign(name, root, *, split="test"):
    return dataset_spec(name).sign(DataConfig(dataset=name), root=root, split=split)


def change(name, root, monkeypatch):
    """Change the pixels of one test image of the first class."""
    if name in WITH_FILES:
        Image.new("RGB", (10, 8), (255, 0, 255)).save(root.pictures[0, False, 0], quality=100)
    else:
        monkeypatch.setattr("roots.colour", lambda *key: (1, 2, 3) if key == (0, False, 0) else colour(*key))
        BUILDERS[name](root.path, monkeypatch)


def test_every_data_set_has_a_specification_a_source_and_this_test():
    assert set(DATASETS) == set(SPECS) == {*BUILDERS, "digits"} == {*SOURCES, "digits"}


@pytest.mark.parametrize("split", ["train", "test"])
def test_images_and_labels_belong_together(name, root, split):
    images = load(name, root.path, split=split)
    assert images.class_names == root.class_names
    assert images.images.shape == (3 * (TRAIN if split == "train" else TEST), 3, 16, 16)
    assert (images.images.dtype, images.labels.dtype) == (torch.uint8, torch.int64)
    found = zip(images.labels.tolist(), images.images[:, :, 5, 5].tolist(), strict=True)
    found = sorted(found, key=lambda one: (one[0], one[1][2]))
    wanted = [(key[0], colour(*key)) for key in plan() if key[1] == (split == "train")]
    assert [label for label, _ in found] == [label for label, _ in wanted]
    # JPEG moves a colour by a few steps; the next class is 70 away, and the next image 50.
    assert np.abs(np.array([c for _, c in found]) - np.array([c for _, c in wanted])).max() <= 4


def test_training_images_keep_the_border_and_the_others_do_not(name, root):
    sizes = [load(name, root.path, split=split, crop_fraction=0.5).images.shape[-1] for split in ("train", "test")]
    assert sizes == [32, 16]


@pytest.mark.parametrize("crop_fraction", [1.0, 0.5])
def test_whole_training_pictures_are_those_of_the_squares_and_keep_their_shape(name, root, crop_fraction):
    config = DataConfig(dataset=name, image_size=16, crop_fraction=crop_fraction)
    whole = dataset_spec(name).load_whole(config, root=root.path)
    squares = load(name, root.path, split="train", crop_fraction=crop_fraction)
    assert (whole.class_names, whole.fingerprint) == (squares.class_names, squares.fingerprint)
    assert torch.equal(whole.labels, squares.labels)
    # Files are of 10x8 pixels, CIFAR's rows of 32x32.
    shorter = round(16 / crop_fraction)
    longer = shorter * 10 // 8 if name in WITH_FILES else shorter
    assert whole.sizes.tolist() == [[shorter, longer]] * len(whole.labels)
    for picture, square in zip(whole.pictures(torch.arange(len(whole.labels))), squares.images, strict=True):
        assert torch.equal(picture[:, 5, 5], square[:, 5, 5])


def test_classes_are_chosen_by_the_data_sets_own_numbers_or_names(name, root):
    first, names = root.first_number, root.class_names
    for choice, kept in (
        ("first:2", [0, 1]),
        (f"{first + 2},{first}", [2, 0]),
        (f"{names[1]},{first}", [1, 0]),
    ):
        images = load(name, root.path, classes=choice)
        assert images.class_names == tuple(names[label] for label in kept)
        assert images.labels.bincount().tolist() == [TEST, TEST]
        reds = images.images[:, 0, 5, 5].float()
        for new, label in enumerate(kept):
            assert (reds[images.labels == new] - colour(label, False, 0)[0]).abs().max() <= 4
    with pytest.raises(DataError, match=rf"'{first + 3}' is none.*Numbers run from {first} to {first + 2}"):
        load(name, root.path, classes=f"{first},{first + 3}")


def test_the_root_may_be_the_data_sets_own_folder(name, root):
    assert load(name, root.path / root.folder).fingerprint == load(name, root.path).fingerprint


def test_the_fingerprint_follows_pixels_split_and_classes_and_not_the_size(name, root, monkeypatch):
    prints = [load(name, root.path, split=split).fingerprint for split in ("train", "test")]
    prints.append(load(name, root.path, classes="first:2").fingerprint)
    assert load(name, root.path, image_size=32).fingerprint == prints[1]
    change(name, root, monkeypatch)
    assert len({*prints, load(name, root.path).fingerprint}) == 4
    assert load(name, root.path, split="train").fingerprint == prints[0]


def test_the_signature_follows_the_files_of_the_split(name, root, monkeypatch):
    before = {split: sign(name, root.path, split=split) for split in ("train", "test")}
    assert before == {split: sign(name, root.path, split=split) for split in ("train", "test")}
    change(name, root, monkeypatch)
    assert sign(name, root.path) != before["test"]


@pytest.mark.parametrize("name", WITH_FILES)
def test_a_missing_image_is_named(name, root):
    path = root.pictures[1, False, 2]
    path.unlink()
    if name == "imagefolder":  # it has no index: what is there is the data set
        assert len(load(name, root.path).labels) == 3 * TEST - 1
    else:
        with pytest.raises(DataError, match=rf"every image that it names must exist, but .*{path.name},? does not\. "):
            load(name, root.path)


@pytest.mark.parametrize("name", WITH_FILES)
@pytest.mark.parametrize("damage", [b"", b"no image"])
def test_a_damaged_image_is_named(name, root, damage):
    path = root.pictures[1, False, 2]
    path.write_bytes(damage)
    with pytest.raises(DataError, match=rf"must decode, but .*{path.name} does not.*Restore the file"):
        load(name, root.path)


@pytest.mark.parametrize("name", ["imagefolder"])
def test_a_class_without_images_is_named(name, root):
    for i in range(TEST):
        root.pictures[1, False, i].unlink()
    with pytest.raises(DataError, match="Every class must have a test image, but brick has none"):
        load(name, root.path)


def test_a_missing_index_is_named_with_the_way_to_get_the_data(name, root):
    index = root.path / root.index
    shutil.rmtree(index) if index.is_dir() else index.unlink()
    with pytest.raises(DataError, match=rf"(?s){index.name}.*(dfkd data|cannot be read)") as caught:
        load(name, root.path)
    assert len(str(caught.value).splitlines()) < 12


def test_a_missing_root_is_named_with_the_way_to_get_the_data(name, root, tmp_path):
    for place in (None, tmp_path / "nowhere"):
        with pytest.raises(DataError, match=r"(?s)`--data-root( DIR)?`.*") as caught:
            load(name, place)
        assert place is None or "nowhere" in str(caught.value)
        assert len(str(caught.value).splitlines()) < 12


@pytest.mark.parametrize("name", ["stanford_cars", "aircraft_variant", "pets"])
def test_an_unreadable_index_is_named(name, root):
    index = root.path / root.index
    index.write_bytes(b"\xff\xfe nonsense")
    with pytest.raises(DataError, match=r"it cannot be read.*Restore it from the published archive"):
        load(name, root.path)


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "flowers102"])
def test_an_altered_index_is_never_opened(name, root):
    index = root.path / root.index
    index.write_bytes(index.read_bytes() + b"\0")
    with pytest.raises(DataError, match=rf"{index.name} must be as published \(MD5 .*dfkd data download {name}"):
        load(name, root.path)


@pytest.mark.parametrize("name", ["cifar10"])
def test_an_altered_batch_is_never_unpickled(root, monkeypatch):
    batch = root.path / CIFAR10.base_folder / "data_batch_2"
    batch.write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    monkeypatch.setattr("pickle.load", lambda *args, **kwargs: pytest.fail("unpickled"))
    with pytest.raises(DataError, match=r"data_batch_2 must be as published \(MD5"):
        load("cifar10", root.path)


@pytest.mark.parametrize("name", ["pets"])
def test_a_label_without_a_class_is_named(root):
    path = root.path / "oxford-iiit-pet/annotations/test.txt"
    path.write_text(path.read_text().replace(" 3 1 1", " 9 1 1"))
    with pytest.raises(DataError, match=r"test.txt must give every image one of the 3 classes, .* the class 9"):
        load("pets", root.path)


@pytest.mark.parametrize("name", ["flowers102"])
def test_flowers_train_on_the_first_two_published_parts(root):
    # Two images of each class in each part, and four in training.
    assert load("flowers102", root.path, split="train").labels.bincount().tolist() == [4, 4, 4]
