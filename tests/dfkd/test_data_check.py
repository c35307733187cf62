"""Looking data roots through: each fault is found in every data set that can have it, and a good one is clean."""

import shutil

import pytest
from PIL import Image

from dfkd.config import DataConfig
from dfkd.data.check import check_data
from roots import BUILDERS, TEST, TRAIN, draw

WITH_FILES = [name for name in BUILDERS if not name.startswith("cifar")]


def check(root, name, **changes):
    seen = []

    def track(names, what):
        for one in names:
            seen.append(one)
            yield one

    report = check_data(DataConfig(dataset=name, image_size=16, **changes), root=root, track=track)
    assert len(seen) == sum(sum(counts.values()) for counts in report.counts.values())
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
