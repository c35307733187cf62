"""`dfkd grids`, and grids with operators on the way to a plan."""

import json
import re
from pathlib import Path
from textwrap import dedent

import pytest

from dfkd.errors import ConfigError
from harness.cli.catalogue import comment
from harness.plan import Files, expand, make_plan
from outcome import refused
from search_spaces import available, load_grid
from search_spaces.algebra import OPERATORS


def request(text, tmp_path, *, settings=None, dataset="cub200", seeds=(0,)):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return expand(load_grid(str(path)), dataset=dataset, budget="smoke", seeds=seeds, settings=settings or {})


def plan_of(made):
    files = dict.fromkeys(made.rows, Files("t", "f", "g"))
    return make_plan(made, files=files, named=False, context={})[0]


def ids(made):
    plan = plan_of(made)
    return {row: [cell.id for cell in plan.cells if cell.row == row] for row in plan.rows}


PARTS = '[[rows]]\nleave_one_out = ["student_loss.mhad.weight", "student_loss.sfcl.weight"]\n'


class TestExpand:
    def test_rows_by_an_operator_are_the_cells_of_rows_by_hand(self, tmp_path):
        names = 'names = { "student_loss.mhad.weight" = "MHAD", "student_loss.sfcl.weight" = "SFCL" }'
        made = ids(request(PARTS.replace("leave_one_out", "add_one_in") + names, tmp_path, seeds=(0, 1)))
        table3 = ids(expand(load_grid("table3"), dataset="cub200", budget="smoke", seeds=(0, 1), settings={}))
        assert made == {"baseline": table3["Baseline"], "+ MHAD": table3["+ MHAD"], "+ SFCL": table3["+ SFCL"]}

    def test_rows_share_seeds_students_and_methods_may_differ(self, tmp_path):
        lists = '{ "student.architecture" = ["resnet10", "resnet18"], method = ["scratch", "dfkd_fgvc"] }'
        made = request(f"[[rows]]\nproduct = {lists}", tmp_path, seeds=(3, 4))
        assert [(c.student.architecture, c.method) for c in made.rows.values()] == [
            ("resnet10", "scratch"),
            ("resnet10", "dfkd_fgvc"),
            ("resnet18", "scratch"),
            ("resnet18", "dfkd_fgvc"),
        ]
        cells = plan_of(made).cells
        assert [cell.seed for cell in cells] == [3, 4] * 4
        assert len({cell.id for cell in cells}) == 8

    def test_parts_that_are_on_follow_data_set_and_settings(self, tmp_path):
        made = request(PARTS, tmp_path, dataset="digits").rows
        assert made["w/o sfcl"].student_loss.mhad.weight == 100  # search_spaces/datasets/digits.toml
        made = request(PARTS, tmp_path, dataset="digits", settings={"student_loss.mhad.weight": 5.0}).rows
        assert (made["full"].student_loss.mhad.weight, made["w/o mhad"].student_loss.mhad.weight) == (5, 0)

    def test_what_the_tables_share_runs_once_in_everything(self):
        shared = ids(expand(load_grid("everything"), dataset="cub200", budget="paper", seeds=(0,), settings={}))
        tables = {}
        for name in ("table1", "table2", "table3", "table4", "table5", "figure7_beta", "figure7_gamma"):
            tables |= ids(expand(load_grid(name), dataset="cub200", budget="paper", seeds=(0,), settings={}))
        assert shared == tables
        full = [row for row, cells in shared.items() if cells == shared["DFKD-FGVC"]]
        assert full == ["DFKD-FGVC", "+ MHAD + SFCL", "lambda = 5e-2", "R = 3"]

    def test_a_base_of_another_grid_must_be_one_that_could_run(self, tmp_path):
        (tmp_path / "one.toml").write_text('[base]\n"data.image_size" = 33\n[[row]]\nname = "r"\n')
        with pytest.raises(ConfigError, match=r"one\.toml, line 2: .*multiple of 16"):
            request('[[rows]]\nunion = ["one.toml"]', tmp_path)

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ('product = { "student_loss.mhad.weight" = [1, -1] }', ["line 5", ">= 0", "-1"]),
            ('product = { "student_loss.mhad.weight" = [1, "ten"] }', ["line 5", "a number", "'ten'"]),
            ('product = { "data.image_size" = [33] }', ["line 5", "multiple of 16", "33"]),
            ("product = { seed = [1] }", ["line 5", "`seed`", "--seeds"]),
            ('orders = ["2+1"]', ["mine.toml", "ascending", "2+1"]),
            ('product = { method = ["scrach"] }', ["line 5", "method", "scrach"]),
        ],
    )
    def test_a_value_that_breaks_a_rule_is_named_with_file_and_line(self, tmp_path, text, words):
        first = '[[row]]\nname = "r"\nset = { "student_loss.mhad.weight" = 3, method = "scratch" }\n'
        with pytest.raises(ConfigError) as error:
            request(f"{first}[[rows]]\n{text}\n", tmp_path)
        assert all(word in str(error.value) for word in ["mine.toml", *words])

    def test_a_setting_that_every_row_overrides_is_refused(self, tmp_path):
        with pytest.raises(ConfigError, match="must have an effect"):
            request('[[rows]]\norders = ["1"]', tmp_path, settings={"student_loss.mhad.orders": "2"})


class TestDocuments:
    """What docs/grids.md and the README show can be pasted into a file."""

    ROOT = Path(__file__).parents[2]

    def example(self, name):
        block = re.search(r"(?:    #.*\n)?    title = .*\n(?:    .*\n|\n)*", (self.ROOT / name).read_text())
        assert block
        return dedent(block[0])

    def test_the_examples(self, tmp_path):
        rows = request(self.example("docs/grids.md"), tmp_path).rows
        assert list(rows) == ["strong MHAD", "full", "w/o MHAD", "w/o sfcl"]
        assert len(request(self.example("README.md"), tmp_path).rows) == 11

    def test_every_operator_has_a_line_that_works(self, tmp_path):
        lines = re.findall(r"^\| `((\w+) = .*?)` \| (.*) \|$", (self.ROOT / "docs/grids.md").read_text(), re.MULTILINE)
        operators = [(text, what) for text, name, what in lines if name in (*OPERATORS, "union")]
        assert [text.split()[0] for text, _ in operators] == [*OPERATORS, "union"]
        parts = '["student_loss.mhad.weight", "student_loss.sfcl.weight"]'
        other = tmp_path / "other" / "mine.toml"
        other.parent.mkdir()
        other.write_text('[[row]]\nname = "r"')
        for text, what in operators:
            text = re.sub(r"\[PART.*\]", parts, text).replace("mine.toml", "other/mine.toml")
            rows = request(f"[[rows]]\n{text}", tmp_path).rows
            stated = re.search(r"(\d+) rows$", what)
            assert stated is None or len(rows) == int(stated[1])


class TestGrids:
    def test_lists_every_grid_with_title_rows_and_reference(self, run):
        status, output, _ = run("grids")
        assert status == 0
        lines = {cells[0]: cells for line in output.splitlines() if (cells := [c.strip() for c in line.split("│")[1:]])}
        assert set(available("grids")) <= lines.keys()
        assert lines["table3"][1:4] == ["Ablation of the student's losses", "4", "Baseline"]

    def test_json(self, run):
        status, output, _ = run("grids", "--json")
        content = {grid["name"]: grid for grid in json.loads(output)["grids"]}
        assert status == 0
        assert set(content) == set(available("grids"))
        assert content["table5"]["rows"] == ["R = 1", "R = 2", "R = 3"]
        assert all(grid["comment"] for grid in content.values())

    def test_show_says_where_it_is_written_what_it_is_for_and_how_rows_differ(self, run):
        status, output, _ = run("grids", "show", "losses_leave_one_out", "--dataset", "cub200")
        assert status == 0
        assert str(load_grid("losses_leave_one_out").path) in output
        assert "What each part of the method is worth" in output
        assert "student_loss.mhad.weight = 0.0 (10.0)" in output
        assert "the base itself" in output
        assert "5 rows, 5 different runs a seed" in output

    def test_show_as_json_with_settings(self, run, tmp_path):
        path = tmp_path / "mine.toml"
        path.write_text(PARTS)
        options = ["--dataset", "cub200", "--set", "student_loss.mhad.weight=5", "--json"]
        status, output, _ = run("grids", "show", str(path), *options)
        assert status == 0
        assert json.loads(output)["rows"] == [
            {"name": "full", "differs": {}},
            {"name": "w/o mhad", "differs": {"student_loss.mhad.weight": 0.0}},
            {"name": "w/o sfcl", "differs": {"student_loss.sfcl.weight": 0.0}},
        ]

    def test_a_name_with_brackets_is_printed_as_it_is(self, run, tmp_path):
        path = tmp_path / "mine.toml"
        path.write_text('title = "[bold]"\n[[row]]\nname = "[red] row"\n')
        output = run("grids", "show", str(path))[1]
        assert "[bold]" in output
        assert "[red] row" in output

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["show", "tabel3"], ["tabel3", "Did you mean `table3`"]),
            (["show", "no/such.toml"], ["no/such.toml"]),
            (["show", "table3", "--dataset", "cub20"], ["cub20", "Did you mean `cub200`"]),
            (["show", "table3", "--set", "seed=3"], ["--seeds"]),
        ],
    )
    def test_bad_words(self, run, arguments, words):
        refused(run("grids", *arguments), *words)

    def test_wrong_usage(self, run):
        assert run("grids", "shwo")[0] == 2

    def test_the_comment_at_the_top_of_a_file(self, tmp_path):
        path = tmp_path / "mine.toml"
        path.write_text("# One.\n#\n# Two.\ntitle = 'x'  # not this\n# nor this\n")
        assert comment(path) == "One.\n\nTwo."
