"""``dfkd data``: exit statuses, JSON, and what is printed."""

import json
import subprocess
import sys
import tarfile
from dataclasses import replace

import pytest

from dfkd.data.sources import SOURCES, Archive, Size
from roots import BUILDERS, TEST, TRAIN, md5


@pytest.fixture
def pets(tmp_path, monkeypatch):
    return BUILDERS["pets"](tmp_path / "data", monkeypatch)


def test_a_good_root_exits_with_0(run, pets):
    status, stdout, stderr = run("data", "check", "pets", "--data-root", str(pets.path))
    assert (status, stderr) == (0, "")
    assert "All is well" in stdout
    assert f"{TRAIN} (Abyssinian)" in stdout


def test_findings_exit_with_1_and_are_counted(run, pets):
    for i in range(TEST):
        for label in range(3):
            pets.pictures[label, False, i].unlink()
    for i in range(TRAIN):
        pets.pictures[0, True, i].write_bytes(b"")
    for i in range(3):
        pets.pictures[1, True, i].unlink()
    status, stdout, _ = run("data", "check", "pets", "--data-root", str(pets.path))
    assert status == 1
    # 9 test images and 3 training images are gone, of which ten are shown; four are empty files.
    assert "missing file: 12" in stdout
    assert "and 2 more" in stdout
    assert "unreadable image: 4" in stdout
    assert "All is well" not in stdout


def test_other_numbers_than_the_published_ones_exit_with_1(run, pets, monkeypatch):
    options = ("data", "check", "pets", "--data-root", str(pets.path))
    status, stdout, _ = run(*options)
    assert status == 0
    assert "3 of the 37 published classes are here, a subset of the data set" in stdout
    for train, wanted in ((3 * TRAIN, 0), (3 * TRAIN + 1, 1)):
        size = Size(train=train, test=3 * TEST, classes=3)
        monkeypatch.setitem(SOURCES, "pets", replace(SOURCES["pets"], size=size))
        status, stdout, _ = run(*options)
        assert status == wanted
        assert ("in 3 classes, as published." in stdout) == (status == 0)
        assert ("train: expected 13 training images, found 12" in stdout) == (status == 1)
    assert json.loads(run(*options, "--json")[1])["note"] is None


def test_json_has_every_class_and_every_finding(run, pets):
    pets.pictures[1, False, 0].unlink()
    options = ("--data-root", str(pets.path), "--set", "data.validation_fraction=0.25", "--json")
    status, stdout, _ = run("data", "check", "pets", *options)
    described = json.loads(stdout)
    assert (status, described["well"], described["dataset"]) == (1, False, "pets")
    assert list(described["splits"]) == ["train", "validation", "test"]
    assert described["splits"]["validation"] == {
        "images": 3,
        "per_class": {"Abyssinian": 1, "American Bulldog": 1, "Bengal": 1},
    }
    (finding,) = described["findings"]
    assert finding["kind"] == "missing file"
    assert finding["what"] == str(pets.pictures[1, False, 0])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "pet"], ["`data.dataset`", "'pet'", "Did you mean `pets`"]),
        (["check", "pets"], ["--data-root DIR", "dfkd data download pets"]),
        (["check", "pets", "--data-root", "no/such"], ["no/such", "dfkd data download pets"]),
        (
            ["check", "stanford_cars", "--data-root", "no/such"],
            ["no/such", "by hand", "cars_test_annos_withlabels.mat"],
        ),
        (["check", "digits", "--set", "data.classes=first:11"], ["first:11", "the 10 there are"]),
        (["check", "digits", "--set", "data.clases=all"], ["data.clases", "data.classes"]),
        (["download", "pet"], ["'pet'", "Did you mean `pets`"]),
        (["download", "pets"], ["`--data-root` must say where"]),
        (["download", "digits"], ["digits comes with the program"]),
        (
            ["download", "stanford_cars"],
            ["by hand", "1. ", "no longer serves them", "4. dfkd data check stanford_cars"],
        ),
        (["download", "stanford_cars", "--data-root", "x"], ["by hand", "cars_train.tgz"]),
    ],
)
def test_wrong_usage_exits_with_2_and_one_screen(run, arguments, words):
    status, stdout, stderr = run("data", *arguments)
    assert (status, stdout) == (2, "")
    assert stderr.startswith("error: ")
    assert len(stderr.splitlines()) <= 24
    missing = [word for word in words if word not in stderr]
    assert not missing, f"{missing} not in: {stderr}"


def test_a_download_lands_in_the_root_and_is_not_repeated(run, tmp_path, monkeypatch):
    made = BUILDERS["aircraft_variant"](tmp_path / "published", monkeypatch)
    path = tmp_path / "aircraft.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(made.path / made.folder, arcname=made.folder)
    served = replace(SOURCES["aircraft_variant"], archives=(Archive(path.as_uri(), md5(path)),))
    monkeypatch.setitem(SOURCES, "aircraft_variant", served)
    arguments = ("data", "download", "aircraft_variant", "--data-root", str(tmp_path / "my data"))
    status, stdout, _ = run(*arguments)
    assert status == 0
    assert "Terms of aircraft_variant" in stdout
    assert f"dfkd data check aircraft_variant --data-root '{tmp_path / 'my data'}'" in stdout
    assert run("data", "check", "aircraft_variant", "--data-root", str(tmp_path / "my data"))[0] == 0
    path.unlink()
    status, stdout, _ = run(*arguments)
    assert status == 0
    assert "is there already" in stdout


def test_the_command_line_starts_without_torch():
    code = "import sys, harness.cli.main; print([m for m in ('torch', 'torchvision', 'ray') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
