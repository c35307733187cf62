"""The runs behind docs/results give its tables again, byte for byte."""

import gzip
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cli.reproduction import stored_arguments
from harness.records import read_plans

RESULTS = Path(__file__).parents[2] / "docs" / "results"
ARCHIVES = sorted(RESULTS.glob("*/runs.tar.gz"))

NO_TABLES = {"README.md", "accuracy-over-time.csv", "importances.csv"}
"""Pages, and numbers of figures, which have tests of their own."""


@pytest.mark.parametrize("archive", ARCHIVES, ids=[path.parent.name for path in ARCHIVES])
def test_paper_makes_the_committed_tables_again(run, tmp_path, archive):
    store, out = tmp_path / "runs", tmp_path / "out"
    assert run("import-store", str(archive), "--store", str(store))[0] == 0
    status, _, stderr = run(
        "paper", "--store", str(store), "--stale", "keep", "--tables", "--out", str(out), "--image-size", "32"
    )
    assert (status, stderr) == (0, "")
    grids = {plan.grid for plan in read_plans(store) if plan.grid != "distill" and not plan.grid.startswith("search-")}
    made = {
        path.name for grid in grids for path in (*out.glob(f"{grid}*"), *out.glob(f"paper-{grid}*")) if path.is_file()
    }
    committed = {path.name for path in archive.parent.iterdir()} & made
    assert {f"{grid}{end}" for grid in grids for end in (".md", ".csv", "-runs.md")} <= committed
    assert {path.name for end in ("md", "csv") for path in archive.parent.glob(f"*.{end}")} - NO_TABLES <= committed
    for name in sorted(committed):
        assert (out / name).read_bytes() == (archive.parent / name).read_bytes(), name


def test_the_curve_of_birds_over_time_is_made_again(run, tmp_path):
    """With the settings of docs/results/birds, and neither images nor teacher."""
    store, out = tmp_path / "runs", tmp_path / "time"
    assert run("import-store", str(RESULTS / "birds" / "runs.tar.gz"), "--store", str(store))[0] == 0
    settings = {
        "data.image_size": "64", "data.crop_fraction": "1.0", "compute.channels_last": "true",
        "data.classes": "first:20", "teacher.architecture": "resnet18", "student.architecture": "resnet10_half",
        "student_loss.mhad.weight": "100", "student_loss.sfcl.weight": "1", "student_loss.sfcl.temperature": "0.5",
    }  # fmt: skip
    arguments = ["--dataset", "cub200", "--budget", "small", "--over", "cpu-minutes", "--teacher-share", "0.7"]
    for key, value in settings.items():
        arguments += ["--set", f"{key}={value}"]
    status, told, stderr = run("figure", "curves", "upper_bounds", *arguments, "--store", str(store), "--out", str(out))
    assert (status, stderr) == (0, "")
    assert out.with_suffix(".csv").read_bytes() == (RESULTS / "birds" / "accuracy-over-time.csv").read_bytes()
    page = (RESULTS / "birds" / "README.md").read_text()
    assert all(f"    {line}\n" in page for line in told.splitlines()[:-1])


@pytest.mark.parametrize(
    ("folder", "grid", "time"),
    [
        ("methods-birds", "table1", "cpu-minutes"),
        ("methods-birds-resnet18", "table1", "cpu-minutes"),
        ("own-best", "own_best", "cpu-minutes"),
        ("five-minutes", str(RESULTS / "five-minutes" / "five_minutes.toml"), "wall-minutes"),
    ],
)
def test_the_curves_of_methods_over_time_are_made_again(run, tmp_path, folder, grid, time):
    store, out = tmp_path / "runs", tmp_path / "time"
    assert run("import-store", str(RESULTS / folder / "runs.tar.gz"), "--store", str(store))[0] == 0
    (plan,) = (plan for plan in read_plans(store) if plan.grid == Path(grid).stem)
    options = [*stored_arguments(replace(plan, grid=grid), store), "--over", time, "--teacher-share", "0.7"]
    status, _, stderr = run("figure", "curves", grid, *options, "--out", str(out))
    assert (status, stderr) == (0, "")
    assert out.with_suffix(".csv").read_bytes() == (RESULTS / folder / "accuracy-over-time.csv").read_bytes()


def test_the_figures_of_the_search_are_made_again(run, tmp_path):
    store, out = tmp_path / "runs", tmp_path / "importances"
    folder = RESULTS / "search-birds"
    assert run("import-store", str(folder / "runs.tar.gz"), "--store", str(store))[0] == 0
    status, told, _ = run("figure", "importances", "loss_weights", "--store", str(store), "--out", str(out))
    assert (status, "20 trials" in told) == (0, True)
    assert out.with_suffix(".csv").read_bytes() == (folder / "importances.csv").read_bytes()


def test_the_archives_are_small_and_made_again_to_the_same_bytes(run, tmp_path):
    assert ARCHIVES
    assert sum(path.stat().st_size for path in ARCHIVES) < 2**20
    store, again = tmp_path / "runs", tmp_path / "again.tar.gz"
    assert run("import-store", str(ARCHIVES[0]), "--store", str(store))[0] == 0
    assert run("export-store", str(again), "--records", "--store", str(store))[0] == 0
    # Unpacked, because versions of zlib pack differently.
    assert gzip.decompress(again.read_bytes()) == gzip.decompress(ARCHIVES[0].read_bytes())


def test_runs_of_former_code_are_marked_unless_they_are_kept(run, tmp_path):
    """Each table is as it was when its runs were new; without `--stale keep` it says that the code has moved on."""
    store, out = tmp_path / "runs", tmp_path / "out"
    assert run("import-store", str(ARCHIVES[0]), "--store", str(store))[0] == 0
    assert run("paper", "--store", str(store), "--tables", "--out", str(out), "--image-size", "32")[0] == 0
    (plan,) = (plan for plan in read_plans(store) if plan.grid != "distill")
    assert "\u2020" in (out / f"{plan.grid}-runs.md").read_text()
