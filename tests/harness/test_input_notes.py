"""What is noted of images and teacher is found again as long as neither has changed, and not a moment longer."""

import os
from dataclasses import replace

import pytest

from dfkd.config import RunConfig
from dfkd.data import DATASETS
from dfkd.errors import DataError
from dfkd.overrides import with_overrides
from harness import input_notes
from harness.input_notes import BUNDLED, Facts, TeacherFacts, note, noted
from harness.store import Store
from roots import imagefolder

FACTS = Facts("Digits", ("0", "1"), "of test", None, TeacherFacts("of teacher", 0.75, None))
DIGITS = with_overrides(RunConfig(), {"data.dataset": "digits", "data.image_size": 16})
FOLDER = with_overrides(
    RunConfig(), {"data.dataset": "imagefolder", "data.image_size": 16, "data.validation_fraction": 0.5}
)
REAL = with_overrides(FOLDER, {"method": "scratch"})


class Noted:
    """A store with a teacher's file and a note."""

    def __init__(self, folder, config, root=None):
        self.store, self.path, self.config, self.root = Store(folder), folder / "teacher.pt", config, root
        self.path.write_bytes(b"weights")
        note(FACTS, [config], self.path, store=self.store, data_root=root)

    def found(self, config=None):
        return noted([config or self.config], self.path, store=self.store, data_root=self.root)


@pytest.fixture
def digits(tmp_path):
    return Noted(tmp_path, DIGITS)


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    return imagefolder(tmp_path / "data", monkeypatch)


def test_it_is_found_again(digits):
    assert digits.found() == FACTS
    assert digits.found(with_overrides(DIGITS, {"seed": 7, "student.learning_rate": 0.5})) == FACTS


@pytest.mark.parametrize("changes", [{"data.classes": "first:2"}, {"teacher.epochs": 3}, {"method": "real_kd"}])
def test_it_is_of_these_images_and_this_teacher_alone(digits, changes):
    assert digits.found(with_overrides(DIGITS, changes)) is None


def test_another_teacher_in_its_place_has_none(digits):
    before = digits.path.stat()
    digits.path.with_name("new").write_bytes(b"WEIGHTS")  # as many bytes
    os.utime(digits.path.with_name("new"), ns=(before.st_atime_ns, before.st_mtime_ns))
    digits.path.with_name("new").replace(digits.path)
    assert digits.found() is None
    digits.path.unlink()
    assert digits.found() is None


def test_a_teacher_that_was_written_to_has_none(digits):
    digits.path.write_bytes(b"WEIGHTS")
    os.utime(digits.path, ns=(0, 1))
    assert digits.found() is None


def test_another_version_of_the_package_that_has_the_images_has_none(digits, monkeypatch):
    monkeypatch.setattr(input_notes, "version", lambda package: f"another {package}")
    assert digits.found() is None


@pytest.mark.parametrize("config", [FOLDER, REAL])
@pytest.mark.parametrize("train", [True, False])
def test_a_picture_that_changes_has_none(tmp_path, pictures, config, train):
    kept = Noted(tmp_path, config, pictures.path)
    assert kept.found() == FACTS
    for (label, of_train, _), path in pictures.pictures.items():
        if label == 0 and of_train == train:
            os.utime(path, ns=(0, 1))
    assert kept.found() is None


def test_a_picture_that_is_gone_is_an_error_as_ever(tmp_path, pictures):
    kept = Noted(tmp_path, FOLDER, pictures.path)
    for (label, train, _), path in pictures.pictures.items():
        if label == 0 and not train:
            path.unlink()
    with pytest.raises(DataError, match="has none"):
        kept.found()


@pytest.mark.parametrize("content", ["{", "[]", '{"title": "Digits"}'])
def test_a_damaged_one_is_none(digits, content):
    (path,) = digits.store.cache.rglob("*.json")
    path.write_text(content)
    assert digits.found() is None


def test_nothing_is_noted_without_a_teacher(tmp_path):
    kept = Noted(tmp_path, DIGITS)
    (path,) = kept.store.cache.rglob("*.json")
    path.unlink()
    note(replace(FACTS, teacher=None), [DIGITS], kept.path, store=kept.store, data_root=None)
    assert not list(kept.store.cache.rglob("*.json"))


def test_bundled_data_sets_are_those_that_nothing_on_disk_can_change(tmp_path):
    for name, spec in DATASETS.items():
        config = with_overrides(RunConfig(), {"data.dataset": name}).data
        if name in BUNDLED:
            assert spec.sign(config, root=None, split="test") == spec.sign(config, root=tmp_path, split="train")
        else:
            with pytest.raises(DataError):
                spec.sign(config, root=tmp_path, split="test")
