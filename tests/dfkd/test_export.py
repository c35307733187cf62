"""An exported student: every format does what the student does, and a file that does not is not kept."""

import json

import pytest
import torch

from dfkd.data import dataset_spec
from dfkd.errors import CheckpointError, ExportError, ExportMismatchError
from dfkd.evaluation import accuracy
from dfkd.export import FORMATS, build_predictor, describe_student, export_student, load_student, require_packages


@pytest.fixture
def student(tiny, teacher):
    """Return a student: its weights are those of the teacher, which is of the same architecture."""
    return build_predictor(tiny(), teacher.classifier.network.state_dict(), classes=3)


@pytest.fixture
def export(tiny, digits, student, tmp_path):
    """Return ``export(**changes)``, which writes the student to tmp_path / "x"."""
    recorded = accuracy(student.network, digits[1], dataset_spec("digits"), tiny().compute)
    about = describe_student(tiny(), digits[1].class_names)

    def call(**changes):
        given = {"format": "torch", "recorded": recorded, "exact": True} | changes
        return export_student(student, about, path=tmp_path / "x", test=digits[1], **given)

    return call


def test_it_takes_pixels_and_normalises_them_itself(digits, student):
    images = digits[1].images[:5]
    expected = student.network(dataset_spec("digits").normalise_bytes(images))
    assert torch.equal(student(images.float() / 255), expected)
    assert not student.training


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_read_again_gives_the_same_logits_for_any_number_of_images(export, digits, student, tmp_path, format):
    accuracies = export(format=format)
    assert accuracies["exported"] == accuracies["recorded"]
    assert {path.name for path in tmp_path.iterdir()} == {"x", "x.json"}  # the weights are inside
    run = FORMATS[format].read(tmp_path / "x")
    for count in (1, 3, 32):
        pixels = digits[1].images[:count].float() / 255
        torch.testing.assert_close(run(pixels), student(pixels), rtol=1e-4, atol=1e-5)


def test_the_file_beside_it_says_what_one_must_know(export, tiny, tmp_path):
    export()
    about = json.loads((tmp_path / "x.json").read_text())
    assert about["class_names"] == ["0", "1", "2"]
    assert about["input"]["shape"] == ["batch", 3, 16, 16]
    assert about["resize"]["shorter_side"] == 18  # 16 / 0.875 = 18.3
    assert about["centre_crop"] == 16
    assert about["normalised_inside"] == {"mean": [0.5] * 3, "std": [0.5] * 3}
    assert about["configuration"]["student.architecture"] == "resnet8"
    assert about["accuracy"].keys() == {"recorded", "exported", "images"}


@pytest.mark.parametrize("format", FORMATS)
def test_another_accuracy_than_the_runs_is_refused_with_both_and_nothing_is_kept(export, tmp_path, format):
    with pytest.raises(ExportMismatchError, match=rf"recorded, 12\.50 % on .* the {format} file reaches \d+\.\d\d %"):
        export(format=format, recorded=0.125)
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_other_arithmetic_may_have_another_accuracy(export):
    assert export(recorded=0.125, exact=False)["recorded"] == 0.125


def test_but_not_a_file_that_gives_other_classes_than_the_student(export, monkeypatch, tmp_path):
    wrong = FORMATS["torch"].__class__(
        ".pt", (), FORMATS["torch"].write, lambda path: lambda images: torch.ones(len(images), 3)
    )
    monkeypatch.setitem(FORMATS, "torch", wrong)
    with pytest.raises(ExportMismatchError, match=r"gives \d+ of \d+ images another class than the student"):
        export(exact=False)
    assert list(tmp_path.iterdir()) == []


def test_a_student_is_loaded_from_its_file_alone(export, digits, student, tmp_path):
    export()
    pixels = digits[1].images[:4].float() / 255
    assert torch.equal(load_student(tmp_path / "x")(pixels), student(pixels))


def test_a_truncated_file_or_another_one_is_not_loaded(export, teacher_path, tmp_path):
    export()
    (tmp_path / "x").write_bytes((tmp_path / "x").read_bytes()[:5000])
    with pytest.raises(CheckpointError, match=r"exported student must be a whole checkpoint, .*dfkd export"):
        load_student(tmp_path / "x")
    with pytest.raises(ExportError, match=r"must be a student exported with .*teacher\.pt is another one"):
        load_student(teacher_path)


def test_a_missing_package_is_named_with_the_extra_that_holds_it(monkeypatch):
    monkeypatch.setattr("dfkd.export.find_spec", lambda name: None if name == "onnxscript" else name)
    require_packages("torch")
    with pytest.raises(ExportError, match=r"onnx needs .*, but onnxscript cannot be found.*dfkd-harness\[export\]"):
        require_packages("onnx")
