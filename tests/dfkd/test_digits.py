"""The bundled digits."""

from dataclasses import replace

import pytest
import torch

from dfkd.config import DataConfig
from dfkd.data import dataset_spec
from dfkd.errors import DataError

CONFIG = DataConfig(dataset="digits", image_size=16)


def load(train, **changes):
    return dataset_spec("digits").load(replace(CONFIG, **changes), root=None, split="train" if train else "test")


def test_three_quarters_are_for_training():
    # 1,797 / 4 = 449.25, rounded up for the test split.
    assert (len(load(True).labels), len(load(False).labels)) == (1347, 450)


def test_the_splits_share_no_image():
    # Whole images, so that the two splits can be compared.
    train, test = ({image.numpy().tobytes() for image in load(t, crop_fraction=1.0).images} for t in (True, False))
    assert len(train | test) == len(train) + len(test) >= 1790  # a few digits may be drawn alike


def test_the_split_is_stratified():
    train, test = (load(t).labels.bincount() for t in (True, False))
    # A quarter of each class's 174 to 183 images, to within one image.
    assert ((test - (train + test) / 4).abs() <= 1).all()


def test_images_are_bytes_over_the_whole_range_in_three_equal_channels():
    images = load(False).images
    assert images.dtype == torch.uint8
    assert images.shape == (450, 3, 16, 16)
    assert (images.min(), images.max()) == (0, 255)
    assert torch.equal(images[:, 0], images[:, 2])


@pytest.mark.parametrize(("size", "fraction", "resized"), [(16, 0.875, 18), (32, 0.875, 37), (32, 1.0, 32)])
def test_training_images_keep_the_border_that_test_images_lose(size, fraction, resized):
    train, test = (load(t, image_size=size, crop_fraction=fraction).images.shape[-2:] for t in (True, False))
    assert train == (resized, resized)
    assert test == (size, size)


def test_chosen_classes_are_relabelled_in_the_order_given():
    everything, some = load(False), load(False, classes="7,2")
    assert some.class_names == ("7", "2")
    assert everything.class_names == tuple("0123456789")
    # Digits 7 and 2 have 179 and 177 images: (179 + 177) / 4 = 89 for testing, and 45 and 44 of them stratified.
    assert some.labels.bincount().tolist() == [45, 44]
    assert set(load(False, classes="first:3").labels.tolist()) == {0, 1, 2}


def test_relabelled_images_are_those_of_the_class():
    both, first = (load(t, classes="7,2", crop_fraction=1.0) for t in (True, False))
    sevens = {image.numpy().tobytes() for part in (both, first) for image in part.images[part.labels == 0]}
    whole = [load(t, crop_fraction=1.0) for t in (True, False)]
    assert sevens == {image.numpy().tobytes() for part in whole for image in part.images[part.labels == 7]}


def test_the_fingerprint_follows_the_images_and_labels_and_not_the_size():
    prints = {load(t, classes=c).fingerprint for t in (True, False) for c in ("all", "first:3", "0,1,2,3", "3,2,1,0")}
    assert len(prints) == 8
    assert load(False).fingerprint == load(False, image_size=32, crop_fraction=1.0).fingerprint


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("first:11", r"more classes than the 10 there are, but it is 'first:11'"),
        ("1,12", r"must list existing classes, but '12' is none\. .*Numbers run from 0 to 9"),
    ],
)
def test_classes_that_do_not_exist_are_refused(classes, message):
    with pytest.raises(DataError, match=message):
        load(False, classes=classes)


def test_images_are_normalised_as_the_data_set_says():
    spec = dataset_spec("digits")
    black_white = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 4, 4)
    # (0 - 1/2) / (1/2) and (1 - 1/2) / (1/2)
    expected = torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 4, 4)
    torch.testing.assert_close(spec.normalise_bytes(black_white), expected)
    # CUB's are ImageNet's: the red channel's white is (1 - 0.485) / 0.229.
    white = dataset_spec("cub200").normalise(torch.ones(1, 3, 1, 1))[0, 0, 0, 0]
    torch.testing.assert_close(white, torch.tensor((1 - 0.485) / 0.229))


@pytest.mark.parametrize(
    ("output", "red"),
    [
        # As they are; as the pixels 0 and 3/4 of the red channel; with mean 0 and variance 1.
        ("normalised", [-1.0, 0.5]),
        ("pixels", [-0.485 / 0.229, (0.75 - 0.485) / 0.229]),
        ("standardised", [-1.0, 1.0]),
    ],
)
def test_a_generators_images_meet_the_networks_as_the_option_says(output, red):
    spec = dataset_spec("cub200")
    images = torch.tensor([-1.0, 0.5]).view(2, 1, 1, 1).expand(2, 3, 4, 4)
    found = spec.generated(images, output)
    torch.testing.assert_close(found[:, 0, 0, 0], torch.tensor(red), rtol=1e-4, atol=0)


def test_a_generators_images_are_gray_where_the_data_are():
    images = torch.tensor([-1.0, 0.0, 0.4]).view(1, 3, 1, 1)
    torch.testing.assert_close(dataset_spec("digits").generated(images, "normalised"), torch.full((1, 3, 1, 1), -0.2))


def test_what_the_networks_see_can_be_shown():
    spec = dataset_spec("cub200")
    pixels = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(spec.denormalise(spec.normalise(pixels)), pixels)
    assert spec.denormalise(torch.full((1, 3, 1, 1), 9.0)).max() == 1  # brighter than white is white
