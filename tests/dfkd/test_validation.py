"""The validation split: always the same training images, of every class, and none that the teacher sees."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfkd.config import DataConfig, RunConfig
from dfkd.data import dataset_spec
from dfkd.data.validation import in_split
from dfkd.errors import ConfigError, DataError
from dfkd.evaluation import load_test_images, load_validation_images
from dfkd.overrides import canonical, with_overrides
from harness.inputs import teacher_name
from roots import BUILDERS, TRAIN


def kept(names, labels, fraction):
    mask = in_split(names, np.array(labels), fraction=fraction, split="validation")
    return {name for name, held in zip(names, mask, strict=True) if held}


def test_the_split_is_the_one_it_has_always_been():
    # By coreutils' sha256sum of the salt, a zero byte and the name; the three smallest of ten. It must never change.
    names = [f"{i}.jpg" for i in range(10)]
    assert kept(names, [0] * 10, 0.3) == {"0.jpg", "4.jpg", "5.jpg"}


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.floats(0.01, 0.99))
def test_every_class_gives_its_share_and_keeps_one(labels, fraction):
    names = [str(i) for i in range(len(labels))]
    held = kept(names, labels, fraction)
    for label in set(labels):
        count = labels.count(label)
        given = sum(labels[int(name)] == label for name in held)
        assert given == min(max(1, int(count * fraction + 0.5)), count - 1)


@given(st.permutations(range(20)))
def test_neither_order_nor_other_classes_matter(order):
    names, labels = [str(i) for i in range(20)], [i % 2 for i in range(20)]
    everything = kept(names, labels, 0.25)
    assert kept([names[i] for i in order], [labels[i] for i in order], 0.25) == everything
    assert kept(names[::2], [0] * 10, 0.25) == everything & set(names[::2])


def test_a_larger_share_keeps_what_a_smaller_one_did():
    names = [str(i) for i in range(100)]
    assert kept(names, [0] * 100, 0.1) < kept(names, [0] * 100, 0.2)


def test_a_share_of_zero_keeps_nothing_aside_and_the_test_split_is_whole():
    names, labels = ["a", "b", "c"], np.zeros(3, dtype=np.int64)
    assert in_split(names, labels, fraction=0.0, split="train").all()
    assert not in_split(names, labels, fraction=0.0, split="validation").any()
    assert in_split(names, labels, fraction=0.5, split="test").all()


@pytest.mark.parametrize("name", [*BUILDERS, "digits"])
def test_training_and_validation_images_are_the_published_training_images(name, tmp_path, monkeypatch):
    root = None if name == "digits" else BUILDERS[name](tmp_path, monkeypatch).path
    spec = dataset_spec(name)

    def names(split, fraction=0.0):
        config = DataConfig(dataset=name, image_size=16, validation_fraction=fraction)
        return list(spec.list_split(config, root=root, split=split).names)

    published = {one.partition("/")[0] if name == "digits" else one for one in names("train")}
    parts = [names(split, 0.25) for split in ("train", "validation")]
    if name == "digits":
        parts = [[one.partition("/")[0] for one in part] for part in parts]
    else:
        assert [len(part) for part in parts] == [3 * TRAIN - 3, 3]  # a quarter of four images is one a class
    assert not set(parts[0]) & set(parts[1])
    assert set(parts[0]) | set(parts[1]) == published
    assert names("test", 0.25) == names("test")


@pytest.mark.parametrize("name", ["imagefolder", "digits"])
def test_validation_images_are_loaded_as_test_images_are(name, tmp_path, monkeypatch):
    root = None if name == "digits" else BUILDERS[name](tmp_path / "data", monkeypatch).path
    config = DataConfig(dataset=name, image_size=16, crop_fraction=0.5, validation_fraction=0.25)
    first = load_validation_images(config, root=root, cache=tmp_path / "cache")
    assert first.images.shape[1:] == (3, 16, 16)
    train = dataset_spec(name).load(config, root=root, split="train")
    assert train.images.shape[1:] == (3, 32, 32)
    assert first.class_names == train.class_names
    assert first.fingerprint != train.fingerprint
    assert load_validation_images(config, root=root, cache=tmp_path / "cache").fingerprint == first.fingerprint
    assert load_test_images(config, root=root, cache=tmp_path / "cache").fingerprint != first.fingerprint


def test_without_a_share_there_are_no_validation_images():
    with pytest.raises(ConfigError, match=r"`data.validation_fraction` must be > 0 .* it is 0"):
        load_validation_images(DataConfig(dataset="digits", image_size=16), root=None, cache=None)


def test_a_class_of_one_image_cannot_keep_one_aside(tmp_path, monkeypatch):
    root = BUILDERS["imagefolder"](tmp_path, monkeypatch)
    for i in range(1, TRAIN):
        root.pictures[1, True, i].unlink()
    config = DataConfig(dataset="imagefolder", image_size=16, validation_fraction=0.5)
    with pytest.raises(DataError, match=r"two training images are needed to keep one aside.*brick has none"):
        load_validation_images(config, root=root.path, cache=None)


def test_the_share_moves_identities_only_where_it_is_used():
    plain, kept_aside = (with_overrides(RunConfig(), {"data.validation_fraction": f}) for f in (0.0, 0.1))
    assert canonical(plain) == {}
    assert canonical(kept_aside) == {"data.validation_fraction": 0.1}
    assert teacher_name(kept_aside) != teacher_name(plain)
