"""``dfkd export``: from a cell's id to a checked file."""

import json
import shutil

import pytest
import torch

from dfkd.export import FORMATS, load_student
from harness.cli.export import Format
from harness.records import read_json, read_plans, write_json
from harness.store import Store, StoreError, find_cell
from outcome import refused
from small import sets


@pytest.fixture(scope="module")
def finished(teacher_store, tmp_path_factory):
    """Return a store with one finished cell, and the cell's id. Copy it, do not write to it."""
    from typer.testing import CliRunner

    from harness.cli.main import app

    store = shutil.copytree(teacher_store, tmp_path_factory.mktemp("finished") / "runs")
    options = ["--budget", "smoke", "--store", str(store), *sets()]
    assert CliRunner().invoke(app, ["distill", "--device", "cpu", *options]).exit_code == 0
    return store, read_plans(store)[0].ids[0]


@pytest.fixture
def cell(finished, tmp_path, monkeypatch):
    """Return a copy of the store, and the cell's id; the working directory is empty."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return shutil.copytree(finished[0], tmp_path / "runs"), finished[1]


def test_the_formats_of_the_command_are_those_there_are():
    assert [format.value for format in Format] == sorted(FORMATS, key=["torch", "onnx", "torchscript"].index)


@pytest.mark.parametrize("format", FORMATS)
def test_a_prefix_is_enough_and_the_accuracy_is_that_of_the_run(run, cell, tmp_path, format):
    store, cell_id = cell
    status, output, stderr = run("export", cell_id[:6], "--format", format, "--store", str(store))
    assert (status, stderr) == (0, "")
    path = tmp_path / "here" / f"student-{cell_id}{FORMATS[format].suffix}"
    about = json.loads((path.parent / f"{path.name}.json").read_text())
    recorded = read_json(store / "cells" / cell_id / "result.json")["last"]
    assert about["accuracy"]["exported"] == about["accuracy"]["recorded"] == recorded
    assert (about["cell"], about["format"]) == (cell_id, format)
    assert f"{100 * recorded:.2f} %" in output
    assert FORMATS[format].read(path)(torch.rand(1, 3, 16, 16)).shape == (1, 3)


def test_out_names_the_file(run, cell, tmp_path):
    store, cell_id = cell
    path = tmp_path / "new" / "bird.bin"
    assert run("export", cell_id, "--store", str(store), "--out", str(path))[0] == 0
    assert load_student(path)(torch.rand(2, 3, 16, 16)).shape == (2, 3)


def test_another_accuracy_ends_with_1_and_both_numbers(run, cell, tmp_path):
    store, cell_id = cell
    path = store / "cells" / cell_id / "result.json"
    write_json(path, read_json(path) | {"last": 0.125})
    status, _, stderr = run("export", cell_id, "--store", str(store))
    assert status == 1
    assert "12.50 %" in stderr
    assert list((tmp_path / "here").iterdir()) == []
    # What a GPU measured need not come out again to the last image.
    write_json(path, read_json(path) | {"environment": {"device": "NVIDIA H200"}})
    status, output, _ = run("export", cell_id, "--store", str(store))
    assert (status, "12.50 % in the run (the run computed in float32 on NVIDIA H200)" in output) == (0, True)


def test_cells_that_cannot_be_meant(run, cell):
    store, cell_id = cell
    first = "0" if cell_id[0] != "0" else "1"
    refused(run("export", first, "--store", str(store)), "none of the 1 cells", repr(first), "dfkd plan GRID --json")
    refused(run("export", cell_id[:-1] + "x", "--store", str(store)), f"Did you mean {cell_id}?")
    refused(run("export", cell_id, "--store", str(store.parent / "none")), "none of the 0 cells", "--store")


def test_an_ambiguous_beginning_lists_what_it_begins(tmp_path):
    ids = ["ab12", "ab34", "ab3456"]
    for cell_id in ids:
        (tmp_path / "cells" / cell_id).mkdir(parents=True)
    with pytest.raises(StoreError, match=r"'ab' begins 3 in .*: ab12, ab34, ab3456\. Give more"):
        find_cell(Store(tmp_path), "ab")
    assert find_cell(Store(tmp_path), "ab1") == "ab12"
    assert find_cell(Store(tmp_path), "ab34") == "ab34"  # a whole id, though another one begins with it


def test_an_unfinished_cell(run, cell):
    store, cell_id = cell
    (store / "cells" / cell_id / "result.json").unlink()
    refused(run("export", cell_id, "--store", str(store)), cell_id, "must be finished", "todo after 2 epochs")


def test_an_unknown_format(run, cell):
    status, _, stderr = run("export", cell[1], "--format", "onx", "--store", str(cell[0]))
    assert status == 2
    assert all(word in stderr for word in ("--format", "onx", "onnx", "torchscript"))


def test_weights_that_are_gone_or_cut(run, cell):
    store, cell_id = cell
    path = store / "cells" / cell_id / "student.pt"
    path.write_bytes(path.read_bytes()[:3000])
    refused(run("export", cell_id, "--store", str(store)), str(path), "3000 bytes")
    path.unlink()
    refused(run("export", cell_id, "--store", str(store)), str(path), "no file")


def test_other_test_images(run, cell):
    store, cell_id = cell
    path = store / "cells" / cell_id / "config.json"
    write_json(path, read_json(path) | {"test_fingerprint": "0" * 64})
    refused(run("export", cell_id, "--store", str(store)), "test images", "0" * 16, "--data-root")


def test_a_data_set_on_disk_needs_its_folder(run, cell):
    store, cell_id = cell
    path = store / "cells" / cell_id / "config.json"
    content = read_json(path)
    write_json(path, content | {"config": content["config"] | {"data.dataset": "cub200"}})
    refused(run("export", cell_id, "--store", str(store)), "--data-root")


def test_an_out_that_cannot_be_written(run, cell, tmp_path):
    store, cell_id = cell
    refused(run("export", cell_id, "--store", str(store), "--out", str(tmp_path)), "--out", str(tmp_path), "a folder")
    (tmp_path / "file").write_text("")
    refused(run("export", cell_id, "--store", str(store), "--out", str(tmp_path / "file/x")), "--out", "file/x")
