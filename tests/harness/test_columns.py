"""Grids on several data sets or with several teachers: rows set them, and each is a column of the table."""

import json
import shlex
import shutil

import pytest

import harness.loaded
from dfkd.errors import ConfigError
from harness.inputs import teacher_command, teacher_name
from harness.layers import base_config, parse_settings
from harness.plan import Files, expand, make_plan
from harness.records import plan_columns, read_plans
from outcome import refused
from roots import BUILDERS
from search_spaces import load_grid
from small import sets

TWO = """
title = "Two methods on two data sets"
[base]
"data.image_size" = 16
[[rows]]
product = { "data.dataset" = ["digits", "imagefolder"], method = ["dfkd_fgvc", "real_kd"] }
[rows.names]
"data.dataset" = { digits = "Digits", imagefolder = "Folder" }
method = { dfkd_fgvc = "ours", real_kd = "real" }
"""


@pytest.fixture
def grid(tmp_path):
    """Write a grid; return its path."""

    def write(text=TWO):
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return str(path)

    return write


def request(path, *, dataset="digits", budget="smoke", settings=None, **options):
    return expand(load_grid(path), dataset=dataset, budget=budget, seeds=(0,), settings=settings or {}, **options)


def plan_of(asked):
    return make_plan(asked, files=dict.fromkeys(asked.rows, Files("t", "f")), named=False, context={})[0]


def labels(asked):
    return [dict(column.rows) for column in asked.columns]


class TestExpansion:
    def test_a_row_on_a_data_set_is_the_cell_of_the_grid_that_is_given_it(self, grid):
        """Layers and all: its settings, its teacher's recipe, its own budget."""
        product = '[[rows]]\nproduct = {{ {}"student_loss.mhad.weight" = [0, 10] }}'
        both = request(grid(product.format('"data.dataset" = ["cub200", "cifar10"], ')), budget=None)
        assert both.budget == "by row" or len({c.schedule.epochs for c in both.rows.values()}) == 1
        found = plan_of(both).ids
        alone = grid(product.format(""))
        asked = [request(alone, dataset=name, budget=None) for name in ("cub200", "cifar10")]
        assert list(found) == [cell_id for each in asked for cell_id in plan_of(each).ids]
        for one, other in zip(both.columns, asked, strict=True):
            assert (one.config.data, one.config.teacher) == (other.base.data, other.base.teacher)

    def test_the_order_of_layers(self, grid):
        path = grid(
            '[base]\n"data.image_size" = 32\n"teacher.epochs" = 3\n[[row]]\nname = "a"\n[[row]]\nname = "b"\n'
            '[row.set]\n"teacher.epochs" = 7\n"data.dataset" = "cifar10"\n'
        )
        asked = request(path, settings={"data.image_size": 48, "teacher.epochs": 5})
        found = {name: (c.data.dataset, c.data.image_size, c.teacher.epochs) for name, c in asked.rows.items()}
        assert found == {"a": ("digits", 48, 5), "b": ("cifar10", 48, 7)}

    def test_rows_of_one_data_set_that_they_name_themselves_are_one_column(self, grid):
        named = request(
            grid('[[rows]]\nset = { "data.dataset" = "cifar10" }\nleave_one_out = ["student_loss.mhad.weight"]')
        )
        plain = request(grid('[[rows]]\nleave_one_out = ["student_loss.mhad.weight"]'), dataset="cifar10")
        assert len(named.columns) == 1
        assert named.key(None) == plain.key(None)
        assert plan_of(named).ids == plan_of(plain).ids

    def test_plans_that_differ_in_a_rows_teacher_alone_are_two(self, grid):
        text = '[[row]]\nname = "a"\n[[row]]\nname = "b"\nset = {{ "teacher.epochs" = {} }}'
        assert len({request(grid(text.format(epochs))).key(None) for epochs in (3, 4)}) == 2


class TestNames:
    def test_of_a_product(self, grid):
        asked = request(grid())
        assert list(asked.rows) == ["Digits, ours", "Digits, real", "Folder, ours", "Folder, real"]
        assert labels(asked) == [
            {"ours": "Digits, ours", "real": "Digits, real"},
            {"ours": "Folder, ours", "real": "Folder, real"},
        ]
        assert [column.reference for column in asked.columns] == ["ours", "ours"]

    def test_of_tables_of_rows_with_and_without_a_prefix(self, grid):
        table = '[[rows]]\nleave_one_out = ["student_loss.mhad.weight"]\nset = {{ "data.dataset" = "{}" }}\n{}\n'
        asked = request(grid(table.format("digits", 'prefix = "Digits: "') + table.format("pets", "")))
        assert list(asked.rows) == ["Digits: full", "Digits: w/o mhad", "full", "w/o mhad"]
        assert [list(rows) for rows in labels(asked)] == [["full", "w/o mhad"]] * 2
        asked = request(grid(table.format("digits", "") + table.format("pets", "")))
        assert list(asked.rows)[2:] == ["full, data.dataset = pets", "w/o mhad, data.dataset = pets"]
        assert [list(rows) for rows in labels(asked)] == [["full", "w/o mhad"]] * 2

    def test_of_rows_by_hand_that_share_their_name(self, grid):
        row = '[[row]]\nname = "ours"\nset = {{ {} }}\n'
        teacher, pets = '"teacher.architecture" = "resnet50"', '"data.dataset" = "pets"'
        asked = request(grid(row.format("") + row.format(teacher) + row.format(f"{pets}, {teacher}")))
        assert labels(asked) == [
            {"ours": "ours"},
            {"ours": "ours, teacher.architecture = resnet50"},
            {"ours": "ours, data.dataset = pets, teacher.architecture = resnet50"},
        ]
        with pytest.raises(Exception, match="'ours' stands more than once"):
            request(grid(row.format(teacher) * 2))

    def test_what_only_data_sets_tell_apart_is_one_line(self, grid):
        asked = request(grid('[[rows]]\nproduct = { "data.dataset" = ["digits", "pets"] }'))
        assert [list(rows) for rows in labels(asked)] == [["mine"], ["mine"]]

    def test_rows_of_a_column_that_a_table_would_call_the_same_keep_their_names(self, grid):
        table = (
            '[[rows]]\nset = {{ "data.dataset" = "pets", "student.momentum" = {} }}\nprefix = "{}: "\norders = ["1"]\n'
        )
        text = '[[row]]\nname = "r"\n' + table.format(0.5, "x") + table.format(0.6, "y")
        assert list(labels(request(grid(text)))[1]) == ["x: order 1", "y: order 1"]


def test_match_budget_goes_by_the_reference_of_the_same_column(grid):
    rows = '[[rows]]\nproduct = { "data.dataset" = ["digits", "cifar10"], method = ["dfkd_fgvc", "dafl"] }'
    matched = request(grid(rows), budget=None, match_budget=True)
    for name in ("digits", "cifar10"):
        alone = request(
            grid('[[rows]]\nproduct = { method = ["dfkd_fgvc", "dafl"] }'), dataset=name, budget=None, match_budget=True
        )
        both = [matched.rows[f"data.dataset = {name}, method = {method}"].schedule for method in ("dfkd_fgvc", "dafl")]
        assert both == [config.schedule for config in alone.rows.values()]


@pytest.mark.parametrize(
    "row",
    [
        {"data.dataset": "cub200"},
        {"data.dataset": "imagefolder", "data.classes": "ash,brick 2", "teacher.init": "imagenet"},
        {"data.image_size": 64, "teacher.seed": 2},
        {"data.dataset": "pets", "data.validation_fraction": 0.1, "teacher.architecture": "resnet50"},
    ],
)
def test_the_command_that_is_named_trains_the_teacher_that_is_looked_for(grid, tmp_path, row):
    path = grid('[base]\n"teacher.label_smoothing" = 0.2\n[[row]]\nname = "a"\n[[row]]\nname = "b"\nset = {}\n')
    text = (
        (tmp_path / "mine.toml")
        .read_text()
        .replace("set = {}", "[row.set]\n" + "\n".join(f'"{k}" = {json.dumps(v)}' for k, v in row.items()))
    )
    (tmp_path / "mine.toml").write_text(text)
    asked = request(path, settings={"teacher.epochs": 2, "schedule.epochs": 3})
    assert len(asked.columns) == 2
    for column in asked.columns:
        command = teacher_command(column.config, column.overrides, store=tmp_path, data_root=None)
        words = shlex.split(command)
        given = parse_settings([words[i + 1] for i, word in enumerate(words) if word == "--set"])
        assert teacher_name(base_config(words[2], budget=None, settings=given)) == teacher_name(column.config)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[base]\n"data.dataset" = "pets"\n[[row]]\nname = "a"', ["line 2", "`data.dataset`", "--dataset", "in rows"]),
        ('[[row]]\nname = "a"\n[row.set]\n"data.dataset" = "digits"', ["data.image_size", "must have an effect"]),
    ],
)
def test_what_is_refused(grid, text, words):
    text += '\n"data.image_size" = 32' if "effect" in words[-1] else ""
    with pytest.raises(ConfigError) as error:
        request(grid(text), settings={"data.image_size": 64})
    assert all(word in str(error.value) for word in words)


def test_a_search_stays_on_one_data_set(run, grid, store, tmp_path):
    space = tmp_path / "space.toml"
    space.write_text('title = "T"\n[parameters."data.image_size"]\nchoices = [16, 32]\n')
    outcome = run("search", str(space), "--trials", "1", "--objectives", "agreement", "--store", str(store), *sets())
    refused(outcome, "the trials of a search must share teacher, data and seeds", "data.image_size")
    rows = '[[rows]]\nproduct = { "data.dataset" = ["digits", "pets"] }'
    options = ["--trials", "1", "--objectives", "agreement", "--store", str(store), *sets()]
    outcome = run("search", "loss_weights", "--ablate", grid(rows), *options)
    refused(outcome, "the rows of `--ablate` must share", "data.dataset")


class TestRuns:
    """A grid on digits and on a folder of pictures, from the missing teachers to the page."""

    @pytest.fixture
    def asked(self, grid, tmp_path):
        """Return the arguments that plan the grid in a store."""
        BUILDERS["imagefolder"](tmp_path / "data", None)
        path = grid()
        more = ("teacher.batch_size=4", "schedule.epochs=2")
        return lambda store: [
            *(path, "--data-root", str(tmp_path / "data"), "--seeds", "0", "--budget", "smoke"),
            *("--store", str(store), *sets(*more)),
        ]

    def train(self, run, stderr):
        """Run the ``dfkd teacher`` commands that a message names."""
        commands = [shlex.split(line)[1:] for line in stderr.splitlines() if line.startswith("  dfkd teacher")]
        for command in commands:
            assert run(*command)[0] == 0
        return commands

    def test_from_missing_teachers_to_tables(self, run, asked, store, tmp_path, monkeypatch):
        arguments = asked(store)
        outcome = run("ablate", *arguments, "--executor", "local")
        refused(outcome, "2 of 2 are not in", "dfkd teacher digits", "dfkd teacher imagefolder", "--data-root")
        assert not (store / "cells").exists()
        status, output, stderr = run("plan", *arguments)
        assert (status, "4 cells requested, 4 of them distinct" in output) == (0, True)
        assert "2 of 2 teachers are not trained yet" in stderr
        assert len(self.train(run, stderr)) == 2
        teacher = next((store / "teachers").glob("imagefolder*/teacher.pt"))
        refused(run("ablate", *arguments, "--teacher", str(teacher)), "--teacher", "2 teachers")

        loaded = []
        load_teacher = harness.loaded.load_teacher
        status, output, _ = run("plan", *arguments, "--probe")
        assert (status, "wall time" in output) == (0, True)
        monkeypatch.setattr(harness.loaded, "load_teacher", lambda *a, **k: loaded.append(1) or load_teacher(*a, **k))
        harness.loaded.forget_inputs()
        status, output, _ = run("ablate", *arguments, "--executor", "local")
        assert (status, "4 of 4 cells done" in output) == (0, True)
        assert len(loaded) == 2  # for the cells, which alternate between them
        assert "4 done, 0 running, 0 to do" in run("ablate", *arguments)[1]

        (plan,) = read_plans(store)
        hashes = {part.context["teacher_hash"] for part in plan_columns(plan)}
        configs = [json.loads((store / "cells" / cell.id / "config.json").read_text()) for cell in plan.cells]
        assert {config["teacher_hash"] for config in configs} == hashes
        assert len(hashes) == 2

        self.tables(run, arguments, tmp_path)
        status, output, _ = run("status", "--store", str(store))
        assert "Digits, Image folder" in output

    @pytest.mark.slow
    def test_through_ray_the_tables_are_the_same(self, run, asked, store, tmp_path, ray_session):
        here = asked(store)
        self.train(run, run("plan", *here)[2])
        there = asked(shutil.copytree(store, tmp_path / "ray"))
        assert run("ablate", *here, "--executor", "local")[0] == 0
        assert run("ablate", *there)[0] == 0
        csv = [run("report", *each, "--format", "csv")[1] for each in (here, there)]
        assert csv[0] == csv[1]

    def tables(self, run, arguments, tmp_path):
        """What is shown of the finished grid."""
        status, output, _ = run("report", *arguments, "--format", "markdown")
        assert status == 0
        head = next(line for line in output.splitlines() if line.startswith("| Row"))
        assert [cell.strip() for cell in head.strip("|").split("|")] == [
            "Row", "Digits (3 classes, 16 px)", "Image folder (3 classes, 16 px)", "Interquartile mean, 95 % interval",
        ]  # fmt: skip
        assert [
            line.split("|")[1].strip() for line in output.splitlines() if line.startswith(("| ours", "| real"))
        ] == ["ours", "real"]
        wide = run("report", *arguments, "--columns", "accuracy,difference,runs", "--format", "csv")[1]
        assert "Image folder (3 classes, 16 px): difference" in wide.splitlines()[0]
        refused(run("report", *arguments, "--format", "html"), "--out", "-digits-3-classes-16-px.html")
        status, output, _ = run("report", *arguments, "--format", "html", "--out", str(tmp_path / "t.html"))
        pages = [(tmp_path / f"t-{name}-3-classes-16-px.html").read_text() for name in ("digits", "image-folder")]
        assert [("Digits" in page, "Image folder" in page) for page in pages] == [(True, False), (False, True)]
        assert "4 of 4 planned runs done" in run("report", *arguments, "--runs")[1]

        explained = run("explain", arguments[0], "real", "difference", *arguments[1:])[1]
        assert (
            explained.count("The reference is 'Digits, ours'")
            == explained.count("The reference is 'Folder, ours'")
            == 1
        )
        one = json.loads(run("explain", arguments[0], "Folder, real", "difference", *arguments[1:], "--json")[1])
        assert {each["row"] for each in one} == {"Folder, real", "Folder, ours"}
        refused(run("explain", arguments[0], "Folder, rael", *arguments[1:]), "Did you mean 'Folder, real'")

        assert run("figure", "rows", *arguments, "--out", str(tmp_path / "rows"))[0] == 0
        assert len(list(tmp_path.glob("rows-*.png"))) == 2
        store = arguments[arguments.index("--store") + 1]
        assert (
            run("paper", "--store", store, "--out", str(tmp_path / "paper"), "--tables", "--image-size", "32")[0] == 0
        )
        names = {path.name for path in (tmp_path / "paper").glob("mine*.csv")}
        assert names == {"mine.csv", "mine-digits-3-classes-16-px.csv", "mine-image-folder-3-classes-16-px.csv"}
