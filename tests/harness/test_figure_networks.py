"""dfkd figure features, attention and gradcam: from finished runs to files."""

import json
import shutil

import pytest
import torch

from harness.finished import generator_of, load_finished, mhad_of, synthetic_images, synthetic_of
from harness.records import read_plans, write_json
from harness.store import Store, StoreError
from outcome import refused
from small import sets

SETTINGS = ("--budget", "smoke", *sets())
MHAD = ("--set", "student_loss.mhad.attention=both")


@pytest.fixture(scope="module")
def finished(teacher_store, tmp_path_factory):
    """Return a store and its cells: the full method with its networks kept and without, and two of other settings."""
    from typer.testing import CliRunner

    from harness.cli.main import app

    store = shutil.copytree(teacher_store, tmp_path_factory.mktemp("finished") / "runs")
    variants = {
        "kept": ["--keep-networks"],
        "plain": ["--seed", "1"],
        "trained": MHAD,
        "real": ["--set", "method=scratch"],
    }
    cells, seen = {}, set()
    for name, options in variants.items():
        result = CliRunner().invoke(app, ["distill", "--device", "cpu", "--store", str(store), *SETTINGS, *options])
        assert result.exit_code == 0, result.output
        (cells[name],) = {plan.ids[0] for plan in read_plans(store)} - seen
        seen.add(cells[name])
    return store, cells


def load(finished, name):
    store, cells = finished
    return load_finished(Store(store), cells[name], data_root=None, teacher=None)


def test_kept_networks_give_the_images_that_the_run_kept(finished):
    run = load(finished, "kept")
    made = synthetic_images(run)
    assert made.shape == (64, 3, 16, 16)
    # Digits: normalised by 0.5 and 0.5. The picture of samples has the same images, in bytes.
    shown = (made * 0.5 + 0.5).clamp(0, 1)
    (run.folder / "networks.pt").rename(run.folder / "aside.pt")
    try:
        again = synthetic_images(load(finished, "kept"))
    finally:
        (run.folder / "aside.pt").rename(run.folder / "networks.pt")
    torch.testing.assert_close(again * 0.5 + 0.5, shown, atol=0.5 / 255 + 1e-6, rtol=0)


def test_what_was_not_trained_is_made_anew_from_the_seed(finished):
    kept, plain = load(finished, "kept"), load(finished, "plain")
    assert mhad_of(kept)[1] is True
    stored = {name: value for name, value in kept.kept["auxiliary"].items() if name.startswith("mhad.attentions")}
    (kept.folder / "networks.pt").rename(kept.folder / "aside.pt")
    try:
        anew, known = mhad_of(load(finished, "kept"))
    finally:
        (kept.folder / "aside.pt").rename(kept.folder / "networks.pt")
    assert not known
    assert all(torch.equal(dict(anew.named_parameters())[name.removeprefix("mhad.")], v) for name, v in stored.items())
    assert mhad_of(plain)[1] is False
    assert mhad_of(load(finished, "real")) is None
    assert len(synthetic_of(kept).attention) == 4
    with pytest.raises(ValueError, match="run without `--keep-networks`"):
        generator_of(plain)
    with pytest.raises(ValueError, match="learnt from real images and has none"):
        generator_of(load(finished, "real"))
    with pytest.raises(ValueError, match=r"trained \(`student_loss.mhad.attention` both\)"):
        mhad_of(load(finished, "trained"))


def figure(run, finished, tmp_path, *arguments):
    store, cells = finished
    named = [cells.get(each, each) for each in arguments]
    return run("figure", *named, "--store", str(store), "--out", str(tmp_path / "f"))


@pytest.mark.parametrize("arguments", [("features", "kept"), ("attention", "kept", "--images", "1")])
def test_equal_commands_write_equal_files(run, finished, tmp_path, arguments):
    written = []
    for folder in ("a", "b"):
        status, _, stderr = figure(run, finished, tmp_path / folder, *arguments)
        assert (status, stderr) == (0, "")
        written.append([(tmp_path / folder / f"f.{suffix}").read_bytes() for suffix in ("png", "svg")])
    assert written[0] == written[1]


def drawn(monkeypatch, run, finished, tmp_path, *arguments):
    """Return the figure that the command saves."""
    import reports.figures

    kept = []
    monkeypatch.setattr(reports.figures, "save", lambda figure, stem, table: kept.append(figure) or [stem])
    status, _, stderr = figure(run, finished, tmp_path, *arguments)
    assert (status, stderr) == (0, "")
    return kept[0]


def test_rows_of_a_grid_stand_beside_the_teacher(run, finished, tmp_path, monkeypatch):
    rows = ("Real images, labels", "DFKD-FGVC")
    shown = drawn(monkeypatch, run, finished, tmp_path, "features", "table1", *rows, "--classes", "0,2", *SETTINGS)
    titles = [axes.get_title(loc="left").replace("\n", " ").partition(" silhouette")[0] for axes in shown.axes]
    assert titles == ["Teacher (resnet8)", "Real images, labels (resnet8)", "DFKD-FGVC (resnet8)"]
    assert [text.get_text() for text in shown.legends[0].get_texts()] == ["0", "2"]


def test_rows_of_matched_budgets_are_other_cells(run, finished, tmp_path, monkeypatch):
    import harness.cli.figure

    real, asked = harness.cli.figure.request_of, []
    monkeypatch.setattr(
        harness.cli.figure, "request_of", lambda *args, **kwargs: asked.append(kwargs) or real(*args, **kwargs)
    )
    row = ("features", "table1", "DFKD-FGVC", "--classes", "0,2", *SETTINGS)
    drawn(monkeypatch, run, finished, tmp_path, *row, "--match-budget")
    assert asked == [{"match_budget": True}]


def test_grad_cam_is_of_real_and_synthetic_images(run, finished, tmp_path, monkeypatch):
    shown = drawn(monkeypatch, run, finished, tmp_path, "gradcam", "plain", "--images", "2", "--stage", "2")
    heads = [axes.get_title().split("\n")[0] for axes in shown.axes[:4]]
    assert heads == ["real", "real", "synthetic", "synthetic"]
    assert shown.axes[8].get_title(loc="left") == "Student (resnet8), stage 2"


def test_attention_is_of_the_generator_and_of_both_sides(run, finished, tmp_path, monkeypatch):
    shown = drawn(monkeypatch, run, finished, tmp_path, "attention", "kept", "--images", "1")
    names = [axes.get_title(loc="left").partition(",")[0] for axes in shown.axes[2::2]]
    blocks = ["Generator"] * 4
    assert names == [*blocks, "A_m of the teacher", "A_m of the student"]
    assert [len(axes.images) for axes in shown.axes[2:4]] == [0, 2]  # a real image was not generated
    shown = drawn(monkeypatch, run, finished, tmp_path, "attention", "plain", "--images", "1")
    assert [axes.get_title(loc="left").partition(",")[0] for axes in shown.axes[2::2]] == ["A_m of the teacher"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["attention", "real"], ["data-free run", "method=scratch"]),
        (["attention", "trained"], ["both", "--keep-networks", "the numbers will be the same"]),
        (["attention", "table1", *SETTINGS], ["one run", "Real images, labels, DFKD-FGVC", "Name one"]),
        (["gradcam", "kept", "--stage", "9"], ["--stage", "1 to 3", "9"]),
        (["gradcam", "kept", "--stage", "0"], ["--stage", "1 to 3", "0"]),
        (["features", "kept", "--classes", "0,7"], ["--classes", "'7'", "begins none", "Known: 0, 1, 2"]),
        (["features", "kept", "--classes", "0,0"], ["--classes", "names one twice"]),
        (["features", "kept", "--classes", "0"], ["two classes with two images each"]),
        (["features", "table1", "DFKD-FGV", *SETTINGS], ["'DFKD-FGV'", "Did you mean `DFKD-FGVC`"]),
        (["features", "table3", "Baseline", *SETTINGS], ["finished run", "Baseline", "dfkd ablate"]),
        (["features", "0123456789abcdef"], ["none of the 4 cells"]),
        (["curves", "table1", "DFKD-FGVC", *SETTINGS], ["ROW", "features, attention, gradcam", "curves"]),
    ],
)
def test_what_cannot_be_looked_at_is_refused_and_nothing_written(run, finished, tmp_path, arguments, words):
    refused(figure(run, finished, tmp_path, *arguments), *words)
    assert not list(tmp_path.iterdir())


def test_out_is_looked_at_before_any_work(run, finished, tmp_path, monkeypatch):
    monkeypatch.setattr("harness.finished.load_finished", None)
    (tmp_path / "file").write_text("")
    refused(figure(run, finished, tmp_path / "file", "features", "kept"), "--out", "File exists")


def test_other_images_another_teacher_and_unfinished_cells_are_refused(run, finished, tmp_path):
    store, cells = finished
    other = shutil.copytree(store, tmp_path / "runs")
    path = other / "cells" / cells["plain"] / "config.json"
    whole = path.read_text()
    for key, words in (
        ("test_fingerprint", ["test images", "--data-root"]),
        ("teacher_hash", ["teacher", "--teacher"]),
    ):
        write_json(path, {**json.loads(whole), key: "0" * 64})
        refused(figure(run, (other, cells), tmp_path, "gradcam", "plain"), *words)
    path.write_text(whole)
    (path.parent / "student.pt").unlink()
    refused(figure(run, (other, cells), tmp_path, "gradcam", "plain"), "student's weights", "--checkpoints")
    (path.parent / "result.json").unlink()
    refused(figure(run, (other, cells), tmp_path, "gradcam", "plain"), "must be finished", "once more")


@pytest.mark.parametrize("method", ["adi", "mad"])
def test_a_run_without_one_generator_of_noise_ends_well_and_has_no_generator_to_look_at(run, store, method):
    """ADI optimises pixels and has none; MAD's is given a class beside the noise."""
    short = ("schedule.generator_steps=2", "schedule.student_steps=2")
    asked = ["--budget", "smoke", *sets(f"method={method}", *short)]
    status, _, stderr = run("distill", "--device", "cpu", "--store", str(store), "--keep-networks", *asked)
    assert status == 0, stderr
    (cell,) = {plan.ids[0] for plan in read_plans(store)}
    finished_run = load_finished(Store(store), cell, data_root=None, teacher=None)
    assert ("generator" in finished_run.kept) == (method == "mad")
    with pytest.raises(StoreError, match=r"one generator of noise alone"):
        generator_of(finished_run)
    assert synthetic_images(finished_run).shape[1:] == (3, 16, 16)


def test_paper_draws_the_networks_whose_students_are_there(run, finished, tmp_path):
    store = shutil.copytree(finished[0], tmp_path / "runs")
    status, _, stderr = run(
        "ablate",
        "upper_bounds",
        "--executor",
        "local",
        "--device",
        "cpu",
        "--seeds",
        "0",
        "--store",
        str(store),
        *SETTINGS,
    )
    assert status == 0, stderr
    status, _, stderr = run("paper", "--store", str(store), "--out", str(tmp_path), "--image-size", "32")
    assert status == 0
    figures = tmp_path / "figures"
    assert (figures / "upper_bounds-features.png").exists()
    assert (figures / "upper_bounds-gradcam.svg").exists()
    assert (figures / "upper_bounds-attention.png").exists()
