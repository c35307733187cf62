"""Looking data roots through: each fault is found in every data set that can have it, and a good one is clean."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from dfkd.config import DataConfig
from dfkd.data.check import check_data
from dfkd.data.sources import SOURCES, Size
from roots import BUILDERS, TEST, TRAIN, draw

WITH_FILES = [name for name in BUILDERS if not name.startswith("cifar")]


def report_on(root, name, **changes):
    seen = []

    def track(names, what):
        for one in names:
            seen.append(one)
            yield one

    report = check_data(DataConfig(dataset=name, image_size=16, **changes), root=root, track=track)
    assert len(seen) == sum(sum(counts.values()) for counts in report.counts.values())
    return report


def check(root, name, **changes):
    report = report_on(root, name, **changes)
    return report.counts, [(finding.kind, finding.split, finding.what) for finding in report.findings]


def one(findings, kind, split, *words):
    """Assert that there is one finding, and what it says."""
    assert [finding[:2] for finding in findings] == [(kind, split)]
    assert all(word in findings[0][2] for word in words), findings


@pytest.mark.parametrize("name", BUILDERS)
def test_a_good_root_is_counted_and_clean(name, tmp_path, monkeypatch):
    root = BUILDERS[name](tmp_path, monkeypatch)
    counts, findings = check(root.path, name)
    assert counts == {"train": dict.fromkeys(root.class_names, TRAIN), "test": dict.fromkeys(root.class_names, TEST)}
    assert findings == []
    counts, findings = check(root.path, name, validation_fraction=0.25, classes="first:2")
    assert list(counts) == ["train", "validation", "test"]
    assert [sum(by_class.values()) for by_class in counts.values()] == [2 * TRAIN - 2, 2, 2 * TEST]
    assert findings == []


def test_the_bundled_digits_are_clean():
    counts, findings = check(None, "digits")
    assert [sum(by_class.values()) for by_class in counts.values()] == [1347, 450]
    assert findings == []


@pytest.mark.parametrize("name", [name for name in WITH_FILES if name != "imagefolder"])
def test_missing_files_are_all_listed(name, tmp_path, monkeypatch):
    root = BUILDERS[name](tmp_path, monkeypatch)
    gone = [root.pictures[key] for key in ((0, True, 1), (2, False, 0))]
    for path in gone:
        path.unlink()
    findings = check(root.path, name)[1]
    assert {finding[0] for finding in findings} == {"missing file"}
    assert sorted(finding[2].split("/")[-1] for finding in findings) == sorted(path.name for path in gone)


@pytest.mark.parametrize("name", WITH_FILES)
def test_unreadable_images_are_listed_and_the_rest_is_still_looked_at(name, tmp_path, monkeypatch):
    root = BUILDERS[name](tmp_path, monkeypatch)
    for key in ((0, False, 0), (1, False, 2)):
        root.pictures[key].write_bytes(b"no image")
    findings = check(root.path, name)[1]
    assert [finding[:2] for finding in findings] == [("unreadable image", "test")] * 2
    assert all("must decode" in finding[2] for finding in findings)


@pytest.mark.parametrize("name", WITH_FILES)
def test_an_image_of_the_same_pixels_in_two_splits_is_found_whatever_its_bytes(name, tmp_path, monkeypatch):
    root = BUILDERS[name](tmp_path, monkeypatch)
    original, copy = root.pictures[0, True, 1], root.pictures[2, False, 2]
    with Image.open(original) as picture:
        picture.save(copy, format="PNG")  # other bytes, the same pixels
    one(check(root.path, name)[1], "duplicate", "test", original.name, copy.name, "in train")


def test_an_image_twice_in_one_split_is_no_finding(tmp_path, monkeypatch):
    root = BUILDERS["imagefolder"](tmp_path, monkeypatch)
    shutil.copy(root.pictures[0, True, 1], root.pictures[0, True, 2])
    assert check(root.path, "imagefolder")[1] == []


def test_an_image_that_both_indexes_list_is_found(tmp_path, monkeypatch):
    root = BUILDERS["pets"](tmp_path, monkeypatch)
    folder = root.path / "oxford-iiit-pet/annotations"
    first = (folder / "trainval.txt").read_text().splitlines()[0]
    with (folder / "test.txt").open("a") as file:
        file.write(f"{first}\n")
    one(check(root.path, "pets")[1], "in two splits", "test", first.split()[0], "is in train too")


def test_a_class_without_images_is_found(tmp_path, monkeypatch):
    root = BUILDERS["imagefolder"](tmp_path, monkeypatch)
    for i in range(TEST):
        root.pictures[1, False, i].unlink()
    draw(root.path / "train" / "zinc" / "1.jpg", 2, True, 9)
    findings = check(root.path, "imagefolder")[1]
    assert findings == [("class without images", "test", "brick"), ("class without images", "test", "zinc")]


PUBLISHED = [name for name in BUILDERS if name != "imagefolder"]


@pytest.fixture
def published(monkeypatch):
    """Return ``published(name, size)``: let this be what the publisher of ``name`` states."""
    return lambda name, **size: monkeypatch.setitem(SOURCES, name, replace(SOURCES[name], size=Size(**size)))


def test_published_sizes_add_up_to_the_totals_that_the_publishers_state():
    # Each publisher states the number of images, beside the splits: 11,788 birds, 16,185 cars, 10,000 aircraft, 8,189
    # flowers, 60,000 images in each CIFAR; the list of Pets has 7,349.
    totals = {"cub200": 11_788, "stanford_cars": 16_185, "flowers102": 8_189, "pets": 7_349}
    totals |= dict.fromkeys(("aircraft_variant", "aircraft_family", "aircraft_manufacturer"), 10_000)
    totals |= dict.fromkeys(("cifar10", "cifar100"), 60_000)
    sizes = {name: source.size for name, source in SOURCES.items() if source.size}
    assert {name: size.train + size.test for name, size in sizes.items()} == totals
    assert set(sizes) == set(PUBLISHED)


def test_published_sizes_are_those_of_the_documentation():
    lines = (Path(__file__).parents[2] / "docs/data.md").read_text().splitlines()
    rows = {line.split("`")[1]: line.split("|") for line in lines if line.startswith("| `")}
    for name in PUBLISHED:
        size = SOURCES[name].size
        assert rows[name][3].strip() == f"{size.train:,} / {size.test:,}"
        assert rows[name][4].split()[0].rstrip(",") == str(size.classes)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_numbers_are_a_note_and_others_are_found(name, tmp_path, monkeypatch, published):
    root = BUILDERS[name](tmp_path, monkeypatch)
    published(name, train=3 * TRAIN, test=3 * TEST, classes=3)
    for fraction in (0.0, 0.25):  # what is kept aside was published as training images
        report = report_on(root.path, name, validation_fraction=fraction)
        assert report.findings == ()
        assert report.note == "12 training images and 9 test images in 3 classes, as published."
    published(name, train=3 * TRAIN + 1, test=1234, classes=3)
    report = report_on(root.path, name, validation_fraction=0.25)
    assert report.note is None
    assert [(finding.kind, finding.split, finding.what) for finding in report.findings] == [
        ("not as published", "train", "expected 13 training images, found 12"),
        ("not as published", "test", "expected 1,234 test images, found 9"),
    ]


def test_an_image_that_the_index_no_longer_lists_is_missed(tmp_path, monkeypatch, published):
    root = BUILDERS["pets"](tmp_path, monkeypatch)
    published("pets", train=3 * TRAIN, test=3 * TEST, classes=3)
    index = root.path / "oxford-iiit-pet/annotations/test.txt"
    index.write_text("".join(index.read_text().splitlines(keepends=True)[:-1]))
    assert check(root.path, "pets")[1] == [("not as published", "test", "expected 9 test images, found 8")]


@pytest.mark.parametrize(
    ("classes", "words"),
    [("all", "3 of the 4 published classes are here, a subset"), ("first:2", "2 of the 4 published")],
)
def test_fewer_classes_are_a_subset_and_no_fault(tmp_path, monkeypatch, published, classes, words):
    root = BUILDERS["cub200"](tmp_path, monkeypatch)
    published("cub200", train=5, test=6, classes=4)
    report = report_on(root.path, "cub200", classes=classes)
    assert report.findings == ()
    assert report.note.startswith(words)
    assert report.note.endswith("numbers of images are not compared.")


def test_a_choice_of_as_many_classes_as_were_published_is_a_subset_too(tmp_path, monkeypatch, published):
    root = BUILDERS["cub200"](tmp_path, monkeypatch)
    published("cub200", train=1, test=1, classes=2)
    assert report_on(root.path, "cub200", classes="first:2").findings == ()


def test_more_classes_than_published_are_a_fault(tmp_path, monkeypatch, published):
    root = BUILDERS["cub200"](tmp_path, monkeypatch)
    published("cub200", train=3 * TRAIN, test=3 * TEST, classes=2)
    assert check(root.path, "cub200")[1] == [("not as published", "", "expected 2 classes, found 3")]


@pytest.mark.parametrize("name", ["imagefolder", "digits"])
def test_where_nothing_is_published_nothing_is_said(tmp_path, monkeypatch, name):
    root = BUILDERS[name](tmp_path, monkeypatch).path if name in BUILDERS else None
    assert report_on(root, name).note is None
