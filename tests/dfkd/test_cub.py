"""The directory layout of CUB_200_2011, on a small imitation of it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import dfkd.data.reading
from dfkd.config import DataConfig
from dfkd.data import dataset_spec
from dfkd.errors import DataError
from dfkd.evaluation import load_test_images

CONFIG = DataConfig(dataset="cub200", image_size=32, crop_fraction=1.0)
NAMES = ("001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Mallard")


def colour(class_number, image_number):
    return (60 * class_number, 20 * image_number, 7)


@pytest.fixture
def root(tmp_path):
    """Return a folder that holds CUB_200_2011 of three classes, two training and two test images each."""
    folder = tmp_path / "CUB_200_2011"
    images, labels, split, number = [], [], [], 0
    for c, name in enumerate(NAMES, 1):
        (folder / "images" / name).mkdir(parents=True)
        for i in range(4):
            number += 1
            Image.new("RGB", (32, 32), colour(c, i)).save(folder / "images" / name / f"{i}.png")
            images.append(f"{number} {name}/{i}.png")
            labels.append(f"{number} {c}")
            split.append(f"{number} {i % 2}")  # 1 is training
    write(folder / "images.txt", images)
    write(folder / "image_class_labels.txt", labels)
    write(folder / "train_test_split.txt", split)
    write(folder / "classes.txt", [f"{c} {name}" for c, name in enumerate(NAMES, 1)])
    return tmp_path


def write(path, lines):
    path.write_text("\n".join(lines) + "\n")


def load(root, *, train=False, **changes):
    return dataset_spec("cub200").load(replace(CONFIG, **changes), root=root, split="train" if train else "test")


def picture(root, name="001.Black_footed_Albatross/0.png"):
    return root / "CUB_200_2011" / "images" / name


def colours(images):
    return [tuple(image[:, 0, 0].tolist()) for image in images]


def test_images_and_labels_are_those_of_the_split(root):
    for train, numbers in ((False, (0, 2)), (True, (1, 3))):
        split = load(root, train=train)
        assert split.labels.tolist() == [0, 0, 1, 1, 2, 2]
        assert colours(split.images) == [colour(c, i) for c in (1, 2, 3) for i in numbers]
        assert split.class_names == NAMES


def test_the_root_may_be_the_folder_itself(root):
    assert load(root / "CUB_200_2011").fingerprint == load(root).fingerprint


@pytest.mark.parametrize(
    ("classes", "kept"),
    [("first:2", (1, 2)), ("3,1", (3, 1)), ("003.Mallard,2", (3, 2)), ("002.Laysan_Albatross,1", (2, 1))],
)
def test_classes_are_chosen_by_count_number_or_name_and_relabelled_in_that_order(root, classes, kept):
    test = load(root, classes=classes)
    assert test.class_names == tuple(NAMES[c - 1] for c in kept)
    found = sorted(zip(test.labels.tolist(), colours(test.images), strict=True))
    assert found == [(label, colour(c, i)) for label, c in enumerate(kept) for i in (0, 2)]


def test_the_fingerprint_follows_the_bytes_and_the_classes(root):
    prints = [load(root).fingerprint, load(root, train=True).fingerprint, load(root, classes="first:2").fingerprint]
    Image.new("RGB", (32, 32)).save(picture(root))
    assert len({*prints, load(root).fingerprint}) == 4
    assert load(root).fingerprint == load(root, image_size=16).fingerprint


@pytest.mark.parametrize("upright", [False, True])
def test_images_that_are_not_square_are_cropped_in_the_centre(root, upright):
    pixels = np.zeros((32, 64, 3), dtype=np.uint8)
    pixels[:, 16:48, 1] = 255  # green between two black bands
    Image.fromarray(pixels.swapaxes(0, 1) if upright else pixels).save(picture(root))
    image = load(root).images[0]
    assert image.shape == (3, 32, 32)
    assert (image[1] == 255).all()


def test_an_image_of_the_right_size_is_untouched(root):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(picture(root))
    assert torch.equal(load(root).images[0], torch.from_numpy(pixels).permute(2, 0, 1))


@pytest.mark.parametrize(("width", "height"), [(500, 333), (31, 97), (1, 5), (33, 32)])
def test_images_of_every_shape_become_square(root, width, height):
    Image.new("RGB", (width, height), (9, 8, 7)).save(picture(root))
    image = load(root, crop_fraction=0.875).images[0]
    assert image.shape == (3, 32, 32)
    assert colours([image]) == [(9, 8, 7)]


def test_training_images_keep_the_border(root):
    pixels = np.zeros((64, 64, 3), dtype=np.uint8)
    pixels[16:48, 16:48] = 255
    for i in (0, 1):
        Image.fromarray(pixels).save(picture(root, f"{NAMES[0]}/{i}.png"))
    train, test = (load(root, train=t, crop_fraction=0.5).images for t in (True, False))
    assert torch.equal(train[0], torch.from_numpy(pixels).permute(2, 0, 1))
    assert (test[0] == 255).all()


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_images_of_other_modes_become_three_channels(root, mode):
    path = picture(root)
    Image.new(mode, (32, 32)).save(path, format="TIFF" if mode == "CMYK" else "PNG")
    assert load(root).images.shape == (6, 3, 32, 32)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (None, "give `--data-root DIR`, the folder that holds CUB_200_2011"),
        ("nowhere", "nowhere does not exist. Give its place with `--data-root`"),
        ("empty", "empty holds neither CUB_200_2011/images.txt nor images.txt"),
    ],
)
def test_a_missing_root_is_named(tmp_path, place, message):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=message):
        load(place and tmp_path / place)


def test_a_listed_image_that_is_missing_is_named(root):
    picture(root, "002.Laysan_Albatross/1.png").unlink()
    with pytest.raises(DataError, match=r"images.txt: every image .* image 6, .*002.Laysan_Albatross/1.png, does not"):
        load(root)


@pytest.mark.parametrize("kept", [0, 10, 400])
def test_a_damaged_jpeg_is_named(root, kept):
    path = picture(root)
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, format="JPEG")
    path.write_bytes(path.read_bytes()[:kept] if kept < 400 else path.read_bytes()[:-200])
    with pytest.raises(
        DataError, match=r"must decode, but .*001.Black_footed_Albatross/0.png does not.*Restore the file"
    ):
        load(root)


@pytest.mark.parametrize("cut", range(0, 160, 10))
def test_a_png_cut_anywhere_is_named(root, cut):
    path = picture(root)
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match="must decode"):
        load(root)


@pytest.mark.parametrize("table", ["images.txt", "classes.txt", "image_class_labels.txt", "train_test_split.txt"])
@pytest.mark.parametrize("line", ["nonsense", "x 1", "3", ""])
def test_a_malformed_line_is_named_by_file_and_number(root, table, line):
    path = root / "CUB_200_2011" / table
    lines = path.read_text().splitlines()
    write(path, [*lines[:2], line, *lines[3:]])
    with pytest.raises(DataError, match=rf"{table}, line 3: each line must be a number, a space and a value"):
        load(root)


@pytest.mark.parametrize("table", ["images.txt", "classes.txt", "image_class_labels.txt", "train_test_split.txt"])
def test_an_empty_table_is_named(root, table):
    (root / "CUB_200_2011" / table).write_text("")
    with pytest.raises(DataError, match=f"{table} must list something, but it is empty"):
        load(root)


@pytest.mark.parametrize("table", ["classes.txt", "image_class_labels.txt", "train_test_split.txt"])
def test_a_missing_table_is_named(root, table):
    (root / "CUB_200_2011" / table).unlink()
    with pytest.raises(DataError, match=rf"{table}, but it cannot be read: .*No such file"):
        load(root)


@pytest.mark.parametrize("table", ["images.txt", "classes.txt"])
def test_a_table_that_is_not_text_is_named(root, table):
    (root / "CUB_200_2011" / table).write_bytes(b"1 caf\xe9\n")
    with pytest.raises(DataError, match=table):
        load(root)


@pytest.mark.parametrize("table", ["image_class_labels.txt", "train_test_split.txt"])
@pytest.mark.parametrize("line", [[], ["12 x"]])
def test_an_image_without_a_label_or_split_is_named(root, table, line):
    path = root / "CUB_200_2011" / table
    write(path, path.read_text().splitlines()[:-1] + line)
    with pytest.raises(DataError, match=rf"{table} must give every image .* but image 12 has none"):
        load(root)


def test_a_label_without_a_class_is_named(root):
    path = root / "CUB_200_2011" / "classes.txt"
    write(path, path.read_text().splitlines()[:2])
    with pytest.raises(DataError, match=r"classes.txt must name every class .* but not 3"):
        load(root)


def test_a_class_without_test_images_is_named(root):
    path = root / "CUB_200_2011" / "train_test_split.txt"
    write(path, [f"{n} {1 if n > 8 else n % 2}" for n in range(1, 13)])
    with pytest.raises(DataError, match=r"must have a test image, but 003.Mallard has none"):
        load(root)
    assert load(root, classes="first:2").class_names == NAMES[:2]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("1,003.Malard", r"'003.Malard' is none. Did you mean `003.Mallard`\?"),
        ("0,1", r"'0' is none.*Numbers run from 1 to 3"),
        ("first:4", r"more classes than the 3 there are, but it is 'first:4'"),
    ],
)
def test_classes_that_do_not_exist_are_refused(root, classes, message):
    with pytest.raises(DataError, match=message):
        load(root, classes=classes)


def test_one_class_by_number_and_by_name_is_a_repetition(root):
    with pytest.raises(DataError, match=r"(?i)repet|twice|once"):
        load(root, classes="3,003.Mallard")


def same(one, other):
    return (
        torch.equal(one.images, other.images)
        and torch.equal(one.labels, other.labels)
        and (one.class_names, one.fingerprint) == (other.class_names, other.fingerprint)
    )


def test_a_second_load_does_not_decode(root, tmp_path, monkeypatch):
    first = load_test_images(CONFIG, root=root, cache=tmp_path / "cache")
    monkeypatch.setattr(dfkd.data.reading, "square", lambda *args, **kwargs: pytest.fail("decoded again"))
    assert same(load_test_images(CONFIG, root=root, cache=tmp_path / "cache"), first)


def test_another_size_or_choice_of_classes_is_cached_apart(root, tmp_path):
    first = load_test_images(CONFIG, root=root, cache=tmp_path / "cache")
    for changes in ({"image_size": 16}, {"classes": "first:2"}, {"crop_fraction": 0.5}):
        other = load_test_images(replace(CONFIG, **changes), root=root, cache=tmp_path / "cache")
        assert same(other, load(root, **changes))
    assert same(load_test_images(CONFIG, root=root, cache=tmp_path / "cache"), first)


def test_a_changed_file_is_noticed(root, tmp_path):
    load_test_images(CONFIG, root=root, cache=tmp_path / "cache")
    Image.new("RGB", (32, 32), (1, 2, 3)).save(picture(root))
    assert colours(load_test_images(CONFIG, root=root, cache=tmp_path / "cache").images)[0] == (1, 2, 3)


def test_a_missing_file_is_noticed_in_spite_of_the_cache(root, tmp_path):
    load_test_images(CONFIG, root=root, cache=tmp_path / "cache")
    picture(root).unlink()
    with pytest.raises(DataError, match="does not"):
        load_test_images(CONFIG, root=root, cache=tmp_path / "cache")


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[: len(b) // 2], lambda b: b"not a checkpoint"])
def test_a_damaged_cache_is_made_anew(root, tmp_path, damage):
    first = load_test_images(CONFIG, root=root, cache=tmp_path / "cache")
    (path,) = (tmp_path / "cache").iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert same(load_test_images(CONFIG, root=root, cache=tmp_path / "cache"), first)
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_without_a_cache_nothing_is_written(root, tmp_path):
    before = set(tmp_path.rglob("*"))
    assert same(load_test_images(CONFIG, root=root, cache=None), load(root))
    assert set(tmp_path.rglob("*")) == before
