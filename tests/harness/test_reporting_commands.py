"""dfkd report, explain, figure and paper on a store that a formula wrote: what they print, write and refuse."""

import shutil

import pandas as pd
import pytest

from dfkd.config import DataConfig
from harness.cli.reporting import data_of
from harness.mirror import Mirror
from harness.plan import expand
from harness.records import Plan, PlannedCell, read_plans, write_json, write_plan
from harness.store import Store
from outcome import refused
from search_spaces import load_grid

WHERE = ("--budget", "smoke", "--seeds", "0,1")


@pytest.fixture
def filled(tmp_path):
    """A store with table3 on digits: all runs but one are done."""
    root = tmp_path / "runs"
    request = expand(load_grid("table3"), dataset="digits", budget="smoke", seeds=(0, 1), settings={})
    cells = tuple(PlannedCell(f"{i}{seed}", row, seed) for i, row in enumerate(request.rows) for seed in (0, 1))
    context = {"dataset": "Digits", "classes": 10, "image_size": 16, "student": "resnet8", "teacher_accuracy": 0.9}
    plan = Plan(request.key(None), "table3", "T", tuple(request.rows), "Baseline", (0, 1), cells, context)
    write_plan(root, plan)
    for number, cell in enumerate(cells[:-1]):
        folder = root / "cells" / cell.id
        config = {"schedule.epochs": 1, "seed": cell.seed, "student.architecture": "resnet8"}
        write_json(folder / "config.json", {"config": config, "teacher_hash": "t", "numerics": 3})
        result = {"last": 0.1 * number, "best_on_test": 0.9, "seconds": 36.0, "cpu_seconds": 72.0, "trainer": ["f"]}
        environment = {"device": "cpu", "processor": "P", "threads": 1, "python": "3", "torch": "2", "torchvision": "0"}
        write_json(folder / "result.json", result | {"environment": environment, "finished": 0.0})
        (folder / "log.jsonl").write_text('{"epoch": 1, "time": 1.0, "test_accuracy": 0.5}\n')
    return root


def test_report_with_columns_and_the_papers_figures(run, filled):
    status, out, _ = run(
        "report", "table3", *WHERE, "--store", str(filled), "--columns", "accuracy,hours,flops", "--beside", "paper"
    )
    assert status == 0
    assert "Paper: Aircraft (%)" in out  # the paper has no digits
    assert "+ MHAD + SFCL: holds." in " ".join(out.split())
    assert "0.02" in out  # hours: 72 seconds


def test_report_as_a_page_and_as_a_workbook(run, filled, tmp_path):
    for format, name in (("html", "deep/page.html"), ("excel", "table.xlsx")):
        status, _, err = run(
            "report", "table3", *WHERE, "--store", str(filled), "--format", format, "--out", str(tmp_path / name)
        )
        assert (status, err) == (0, "")
    text = (tmp_path / "deep" / "page.html").read_text()
    assert "Real test images" in text or text.count("<svg") == 3  # no samples here: rows, curves, cost
    assert "7 of 8" in text
    assert pd.read_excel(tmp_path / "table.xlsx", index_col=0).loc["+ SFCL", "accuracy"] == pytest.approx(25.0)


def test_a_table_of_a_store_that_is_not_there_says_so(run, tmp_path):
    status, out, err = run("report", "table3", *WHERE, "--store", str(tmp_path / "typo"))
    assert (status, "+ SFCL" in out) == (0, True)
    assert err == f"Nothing is done: there is no store at {tmp_path / 'typo'}.\n"
    assert not (tmp_path / "typo").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["report", "table3", "--columns", "acuracy"], ["--columns", "acuracy", "Did you mean `accuracy`"]),
        (["report", "table3", "--format", "excel"], ["--format excel", "--out FILE.xlsx"]),
        (["report", "losses_leave_one_out", "--beside", "paper"], ["losses_leave_one_out", "table1", "--beside"]),
        (["explain", "table3", "+MHAD"], ["'+MHAD'", "Did you mean '+ MHAD'"]),
        (["explain", "table3", "+ MHAD", "tests"], ["'tests'", "Did you mean 'test'"]),
        (["figure", "interaction", "table3", "--out", "x"], ["table3", "product", "pairwise"]),
        (["figure", "response", "table3", "--out", "x", "--field", "no.such"], ["--field", "no.such"]),
        (["figure", "curves", "table3", "--out", "x", "--metric", "loss"], ["table3", "'loss'"]),
        (
            ["figure", "curves", "table3", "--out", "x", "--over", "cpu-minutes"],
            ["cpu_seconds", "seed 0", "over epochs"],
        ),
        (["figure", "history", "loss_weights", "--out", "x"], ["loss_weights", "studies", "none"]),
    ],
)
def test_what_cannot_be_shown_is_refused_with_the_way_out(run, filled, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    more = () if "history" in arguments else WHERE
    refused(run(*arguments, *more, "--store", str(filled)), *words)
    assert not list(tmp_path.glob("x*"))


def test_curves_over_time_tell_when_a_share_of_the_teacher_is_reached(run, filled, tmp_path):
    for cell in (filled / "cells").iterdir():
        lines = [f'{{"epoch": {e}, "seconds": 90.0, "test_accuracy": {0.3 * e}}}\n' for e in (1, 2)]
        (cell / "log.jsonl").write_text("".join(lines))
    where = (*WHERE, "--store", str(filled), "--out", str(tmp_path / "x"))
    status, out, err = run("figure", "curves", "table3", *where, "--over", "wall-minutes", "--teacher-share", "0.5")
    assert (status, err) == (0, "")
    # Half of 90 % is there at the end of the second epoch, after 2 x 1.5 minutes. The last row has one seed done.
    assert out.startswith(
        "50 % of the teacher's accuracy, 45.00 %, after minutes:\nBaseline: seed 0 3.0, seed 1 3.0; median"
    )
    assert "+ MHAD + SFCL: seed 0 3.0; median of 1: 3.0 minutes" in out
    assert (tmp_path / "x.csv").read_text().splitlines()[:2] == [
        "row,minutes,mean,low,high,seeds",
        "Baseline,1.500000,30.000000,30.000000,30.000000,2",
    ]


def test_mixed_runs_are_refused(run, filled):
    config = {"config": {"schedule.epochs": 1, "seed": 0}, "teacher_hash": "another", "numerics": 3}
    write_json(filled / "cells" / "00" / "config.json", config)
    refused(run("report", "table3", *WHERE, "--store", str(filled)), "teacher_hash", "another in 00", "t in 01")


def test_explain_lists_the_runs(run, filled):
    status, out, _ = run("explain", "table3", "+ SFCL", "difference", *WHERE, "--store", str(filled))
    assert status == 0
    assert "Mean over 2 of 2 seeds of 20.00, 20.00: 20.00" in out
    assert out.count("result.json") == 4
    assert "trained   36.0 s, 72.0 CPU seconds" in out
    # Two equal differences: 2 of 4 patterns of signs.
    status, out, _ = run("explain", "table3", "+ SFCL", "test", *WHERE, "--store", str(filled))
    assert (status, "Sign flips of 2 differences, 20.00, 20.00: p = 0.5" in out) == (0, True)
    assert "Holm's correction for 3 rows" in out
    status, out, _ = run("explain", "table3", "+ SFCL", "parameters", *WHERE, "--store", str(filled))
    assert (status, "million parameters, the same in every run" in out) == (0, True)


def test_figure_writes_png_and_svg(run, filled, tmp_path):
    status, out, _ = run(
        "figure", "rows", "table3", *WHERE, "--store", str(filled), "--out", str(tmp_path / "f" / "rows.svg")
    )
    assert status == 0
    assert {path.name for path in (tmp_path / "f").iterdir()} == {"rows.png", "rows.svg"}
    assert "rows.png" in out


def test_paper_builds_everything_like_report(run, filled, tmp_path):
    folder = tmp_path / "paper"
    status, out, err = run("paper", "--store", str(filled), "--out", str(folder), "--image-size", "32")
    assert status == 0, out
    assert err == "left out figures of networks of table3: no student of its runs is in the store.\n"
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    expected = {"table3.md", "table3.csv", "table3.tex", "table3.html", "table3-runs.md", "paper-table3.tex"}
    assert expected | {"paper-table6.md", "figures/table3-rows.svg", "figures/table3-curves.png"} <= names
    assert pd.read_excel(folder / "table3.xlsx", index_col=0).loc["+ SFCL", "accuracy"] == pytest.approx(25.0)
    for format, suffix in (("markdown", "md"), ("csv", "csv"), ("latex", "tex")):
        _, out, _ = run("report", "table3", *WHERE, "--store", str(filled), "--format", format)
        assert out == (folder / f"table3.{suffix}").read_text()


def test_paper_of_one_plan_in_two_stores_writes_both(run, filled, tmp_path):
    other, out = shutil.copytree(filled, tmp_path / "other"), tmp_path / "o"
    for name in ("00", "01"):  # of Baseline
        (other / "cells" / name / "result.json").unlink()
    asked = [
        "paper",
        "--store",
        str(filled),
        "--store",
        str(other),
        "--out",
        str(out),
        "--tables",
        "--image-size",
        "32",
    ]
    run(*asked)  # its tables over data sets are refused: two columns would be the same
    (plan,) = read_plans(filled)
    one, two = (pd.read_csv(out / f"table3-{plan.key[:8]}-store{i}.csv", index_col=0)["done"] for i in (1, 2))
    assert (one["Baseline"], two["Baseline"]) == (2, 0)


def test_paper_leaves_out_a_grid_that_it_refuses_and_says_so(run, filled, tmp_path):
    config = {"config": {"schedule.epochs": 1, "seed": 0}, "teacher_hash": "another", "numerics": 3}
    write_json(filled / "cells" / "00" / "config.json", config)
    status, _, err = run("paper", "--store", str(filled), "--out", str(tmp_path / "o"), "--image-size", "32")
    assert status == 1
    assert "left out table3" in err
    assert (tmp_path / "o" / "paper-table6.md").exists()


def test_a_plan_without_results_names_the_others_of_its_grid(run, filled):
    status, out, err = run("report", "table3", "--budget", "smoke", "--seeds", "5", "--store", str(filled))
    assert (status, "0/1" in out) == (0, True)
    assert err == (
        f"Nothing of this plan is done. Other plans of 'table3' in {filled}:\n"
        f"  Digits, budget None, key {read_plans(filled)[0].key}\n"
    )
    # With the options of that plan there is nothing to say.
    assert run("report", "table3", *WHERE, "--store", str(filled))[2] == ""


@pytest.mark.parametrize("figure", ["rows", "curves", "cost"])
def test_a_figure_that_would_mix_what_a_table_may_not_is_refused(run, filled, tmp_path, figure):
    config = {"config": {"schedule.epochs": 1, "seed": 0}, "teacher_hash": "another", "numerics": 3}
    write_json(filled / "cells" / "00" / "config.json", config)
    arguments = ["figure", figure, "table3", *WHERE, "--store", str(filled), "--out", str(tmp_path / "x")]
    refused(run(*arguments), "teacher_hash", "another", "one column")
    assert not list(tmp_path.glob("x*"))


def test_a_plan_knows_its_images_from_its_cells(filled):
    (plan,) = read_plans(filled)
    assert data_of(plan, Store(filled)) == DataConfig()
    for path in filled.glob("cells/*/config.json"):
        path.unlink()
    assert data_of(plan, Store(filled)) is None


def test_paper_of_nothing_is_refused(run, filled, tmp_path):
    (tmp_path / "empty").mkdir()
    refused(run("paper", "--store", str(tmp_path / "empty")), "There must be a grid", "none", "dfkd ablate")
    refused(run("paper", "--store", str(tmp_path / "no")), "there is none at")
    refused(run("paper", "--store", str(filled), "--plan", "zz"), "'zz'", "table3")


def test_table6_has_every_parameter_of_the_generator():
    from dfkd.config import GeneratorConfig
    from dfkd.models.generator import AttentionGenerator
    from harness.cli.paper import generator_layers

    layers = list(generator_layers(32))
    network = AttentionGenerator(GeneratorConfig(), image_size=32, seed=0)
    assert sum(layer.parameters for layer in layers) == sum(each.numel() for each in network.parameters())
    # The paper's first block: 3 x 3, 512 to 256, deconvolution, spectral norm; weights 9 x 512 x 256 and 256 biases.
    block = next(layer for layer in layers if layer.part == "block 1")
    assert (block.kind, block.kernel, block.channels) == ("ConvTranspose2d + spectral norm", "3 x 3", "512 to 256")
    assert block.parameters == 9 * 512 * 256 + 256


@pytest.fixture
def mirrored(filled, mlflow_template):
    """The same runs in MLflow alone: a tracking URI."""
    place = filled.parent / "elsewhere"
    place.mkdir()
    shutil.copy(mlflow_template, place / "mlflow.db")
    uri = f"sqlite:///{place / 'mlflow.db'}"
    (plan,) = read_plans(filled)
    Mirror(uri, Store(filled)).sync(plan.ids, plan)
    return uri


@pytest.mark.parametrize("stale", [False, True])
def test_tables_from_the_store_and_from_mlflow_are_identical(run, filled, mirrored, monkeypatch, stale):
    if not stale:  # the code is as it was
        monkeypatch.setattr("harness.staleness.fingerprint", lambda config: "f")
    for shown in (*(["--format", each] for each in ("terminal", "markdown", "latex", "csv")), ["--runs"]):
        asked = ["report", "table3", *WHERE, "--columns", "all", *shown]
        status, from_store, err = run(*asked, "--store", str(filled))
        assert (status, err) == (0, "")
        assert ("†" in from_store or "dagger" in from_store) == (stale and shown[-1] != "csv")
        assert run(*asked, "--store", str(filled / "not there"), "--tracking-uri", mirrored) == (0, from_store, "")


def test_a_page_can_be_made_from_mlflow_alone(run, mirrored, tmp_path):
    path = tmp_path / "page.html"
    asked = ["report", "table3", *WHERE, "--tracking-uri", mirrored, "--format", "html", "--out", str(path)]
    assert run(*asked)[0] == 0
    text = path.read_text()
    assert "7 of 8" in text
    assert "dfkd ablate table3 ...\n" in text  # which store it was, MLflow does not say
    assert not (tmp_path / "runs" / "store.json").exists()


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("sqlite:////nowhere/mlflow.db", ["names no file"]),
        ("postgresql://nobody@127.0.0.1:1/none", ["must be within reach", "sqlite:////DIR/mlflow.db"]),
        ("nonsense", ["no folder is at", "sqlite:///"]),
    ],
)
def test_a_tracking_uri_that_leads_nowhere_is_refused(run, uri, words):
    refused(run("report", "table3", "--tracking-uri", uri), *words)


def test_a_plan_that_mlflow_does_not_have_is_refused(run, mirrored):
    refused(run("report", "table4", "--tracking-uri", mirrored), "table4", "table3")
