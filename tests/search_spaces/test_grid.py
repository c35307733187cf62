"""Grid files: order, rows of other grids, rows that are the same, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import SpaceError, available, load_grid

VALUES = {"a": 1.0, "b": 2.0, "c": "x"}


@pytest.fixture
def write(tmp_path):
    def write_file(name, text):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return str(path)

    return write_file


def rows(path, *, settings=None):
    return [(row.name, dict(row.overrides)) for row in load_grid(path).expanded(VALUES, settings or {}).rows]


def refused(path, *words):
    with pytest.raises(SpaceError) as error:
        rows(path)
    missing = [word for word in words if word not in str(error.value)]
    assert not missing, f"{missing} not in: {error.value}"


def test_rows_stand_in_the_order_of_the_file(write):
    text = '[[rows]]\nproduct = { a = [5, 6] }\n[[row]]\nname = "by hand"\n[[ rows ]] # more\nproduct = { b = [7] }\n'
    assert [name for name, _ in rows(write("g.toml", text))] == ["a = 5", "a = 6", "by hand", "b = 7"]


def test_rows_that_are_not_written_as_tables_come_by_kind(write):
    text = 'rows = [{ product = { a = [5] } }]\nrow = [{ name = "by hand" }]\n'
    assert [name for name, _ in rows(write("g.toml", text))] == ["by hand", "a = 5"]


class TestUnion:
    def test_rows_of_another_grid_with_what_its_base_changes(self, write):
        write("one.toml", '[base]\na = 3\nc = "y"\n[[row]]\nname = "r"\n[[row]]\nname = "s"\nset = { a = 4 }\n')
        union = write("both.toml", '[base]\nc = "y"\n[[rows]]\nunion = ["one.toml"]\n[[row]]\nname = "own"\n')
        # `c` is as in the base of both, and so not repeated in the rows.
        assert rows(union) == [("r", {"a": 3}), ("s", {"a": 4}), ("own", {})]
        # A setting wins over a base, here as in the grid itself, but not over a row.
        assert rows(union, settings={"a": 9.0}) == [("r", {}), ("s", {"a": 4}), ("own", {})]

    def test_operators_of_another_grid_start_from_its_base(self, write):
        write("one.toml", "[base]\na = 0\n[[rows]]\nleave_one_out = ['b']\nwhere = { a = 0 }\n")
        assert rows(write("u.toml", '[[rows]]\nunion = ["one.toml"]')) == [
            ("full", {"a": 0}),
            ("w/o b", {"a": 0, "b": 0}),
        ]

    def test_set_changes_all_rows_that_do_not_set_it(self, write):
        write("one.toml", '[base]\nb = 5\n[[row]]\nname = "r"\n[[row]]\nname = "s"\nset = { b = 7 }\n')
        union = write("u.toml", '[[rows]]\nunion = ["one.toml"]\nset = { b = 6, a = 3 }')
        assert rows(union) == [("r", {"a": 3, "b": 6}), ("s", {"a": 3, "b": 7})]

    def test_a_path_is_taken_from_the_files_folder(self, write):
        write("sub/one.toml", '[[row]]\nname = "r"')
        write("sub/two.toml", '[[rows]]\nunion = ["one.toml"]')
        assert rows(write("u.toml", '[[rows]]\nunion = ["sub/two.toml"]')) == [("r", {})]

    def test_equal_rows_are_one_and_rows_that_only_share_a_name_get_the_grids(self, write):
        write("one.toml", '[[row]]\nname = "same"\nset = { a = 5 }\n[[row]]\nname = "r"\nset = { a = 6 }')
        write("two.toml", '[base]\na = 5\n[[row]]\nname = "same"\n[[row]]\nname = "r"\n')
        write("three.toml", '[[row]]\nname = "other name"\nset = { a = 5 }')
        union = write("u.toml", '[[rows]]\nunion = ["one.toml", "two.toml", "three.toml"]')
        assert rows(union) == [
            ("same", {"a": 5}),
            ("one: r", {"a": 6}),
            ("two: r", {"a": 5}),
            ("other name", {"a": 5}),
        ]

    def test_a_grids_own_row_keeps_its_name(self, write):
        write("one.toml", '[[row]]\nname = "r"\nset = { a = 6 }')
        union = write("u.toml", '[[row]]\nname = "r"\n[[rows]]\nunion = ["one.toml"]')
        assert [name for name, _ in rows(union)] == ["r", "one: r"]

    def test_grids_of_one_name_cannot_be_told_apart(self, write):
        write("x/one.toml", '[[row]]\nname = "r"\nset = { a = 6 }')
        write("y/one.toml", '[[row]]\nname = "r"\nset = { a = 7 }')
        refused(write("u.toml", '[[rows]]\nunion = ["x/one.toml", "y/one.toml"]'), "u.toml", "'one: r'", "`prefix`")

    def test_a_circle(self, write):
        write("one.toml", '[[row]]\nname = "r"\n\n[[rows]]\nunion = ["two.toml"]')
        two = write("two.toml", '[[rows]]\nunion = ["one.toml"]')
        refused(two, "one.toml, line 5", "must not lead back", "two.toml -> one.toml -> two.toml")

    def test_of_itself(self, write):
        refused(write("u.toml", '[[rows]]\nunion = ["u.toml"]'), "line 2", "u.toml -> u.toml")

    def test_a_missing_file_is_named_with_the_line_that_asks_for_it(self, write):
        refused(write("u.toml", '[[rows]]\n\nunion = ["no.toml"]'), "u.toml, line 3", "no.toml")

    def test_an_error_in_another_grid_is_in_that_ones_file(self, write):
        write("one.toml", "[[rows]]\nproduct = { d = [1] }")
        refused(write("u.toml", '[[rows]]\nunion = ["one.toml"]'), "one.toml, line 2", "`d` is none")

    @given(st.lists(st.sampled_from(["table3", "table4", "figure7_beta", "figure7_gamma"]), min_size=1))
    def test_is_idempotent_and_keeps_the_first_of_each(self, tmp_path_factory, names):
        folder = tmp_path_factory.mktemp("union")

        def union_of(*members):
            path = folder / "u.toml"
            path.write_text(f"[[rows]]\nunion = {list(members)}")
            return load_grid(str(path)).expanded(BUILT_IN_VALUES, {}).rows

        assert union_of(*names, *names) == union_of(*names) == union_of(*dict.fromkeys(names))


BUILT_IN_VALUES = {
    "student_loss.mhad.weight": 10.0,
    "student_loss.sfcl.weight": 8.0,
    "student_loss.mhad.orders": "1+2+3",
    "generator.attention.weight": 0.05,
    "generator_loss.batch_norm.weight": 0.3,
    "student.architecture": "resnet18",
    "method": "dfkd_fgvc",
}
"""The fields that the paper's tables and sweeps set."""


def test_figure_7_has_its_two_sweeps():
    # beta at gamma 1, gamma at beta 10, both from 0 to 100 (Figure 7)
    beta, gamma = "student_loss.mhad.weight", "student_loss.sfcl.weight"
    for name, moved, fixed, at in (("figure7_beta", beta, gamma, 1), ("figure7_gamma", gamma, beta, 10)):
        made = load_grid(name).expanded(BUILT_IN_VALUES, {}).rows
        assert [row.overrides[moved] for row in made] == [0, 1, 5, 10, 20, 50, 100]
        assert {row.overrides[fixed] for row in made} == {at}


@pytest.mark.parametrize(
    ("name", "key", "values", "own"),
    [
        ("batch_norm_weight", "generator_loss.batch_norm.weight", [0, 0.1, 0.3, 0.5, 1, 2, 5], 0.3),
        ("table4", "generator.attention.weight", [0, 0.01, 0.05, 0.07, 0.09], 0.05),
    ],
)
def test_alpha_and_lambda_have_a_sweep_each_with_the_papers_choice(name, key, values, own):
    # alpha from 0 to 5, best 0.3; lambda in {0, 1, 5, 7, 9}e-2, best 5e-2
    made = load_grid(name).expanded(BUILT_IN_VALUES, {})
    assert [row.overrides for row in made.rows] == [{key: value} for value in values]
    assert own == BUILT_IN_VALUES[key]
    assert made.reference == made.rows[0].name


def test_precision_differs_in_the_arithmetic_alone():
    made = load_grid("precision").expanded(BUILT_IN_VALUES, {})
    kinds = ("float32", "bfloat16")
    assert {row.name: row.overrides for row in made.rows} == {kind: {"compute.precision": kind} for kind in kinds}


def test_everything_is_the_papers_tables_and_figures():
    members = sorted(name for name in available("grids") if name.startswith(("table", "figure")))
    assert sorted(file.name for file in load_grid("everything").files[1:]) == members
    made = load_grid("everything").expanded(BUILT_IN_VALUES, {}).rows
    methods = len(load_grid("table1").expanded(BUILT_IN_VALUES, {}).rows)
    # methods, for three students too but for ZSKD, + 4 + 5 + 3 + 7 + 7 rows; "beta = 10, gamma = 1" is in both sweeps
    assert len(made) == 4 * methods - 3 + 25
    assert {row.grid for row in made} == set(members)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[row]]\nname = "a = 5"\n[[rows]]\nproduct = { a = [5] }\nset = { b = 3 }', ["line 3", "differ", "'a = 5'"]),
        ('row = [3]', ["each of `row`", "3"]),
        ('rows = [3]', ["each of `rows`", "3"]),
        ('[names]\na = 3\n[[row]]\nname = "r"', ["line 2", "`names`", "3"]),
        ('[names]\nd = "D"\n[[rows]]\nproduct = { a = [5] }', ["line 2", "`d` is none"]),
        ('[[rows]]\nproduct = { a = [5] }\n[[rows]]\n[rows.prodct]\na = [5]', ["`prodct`", "table 2 of rows"]),
        ('[[row]]\nname = "r"\n[[row]]\nnaem = "s"', ["line 4", "row 2", "Did you mean `name`"]),
    ],
)  # fmt: skip
def test_a_malformed_file(write, text, words):
    refused(write("g.toml", text), "g.toml", *words)


def test_a_row_made_twice_in_a_file_is_one(write):
    text = '[[row]]\nname = "full"\n[[rows]]\nleave_one_out = ["a"]\n[[rows]]\npairwise = ["a", "b"]\n'
    assert [name for name, _ in rows(write("g.toml", text))] == ["full", "w/o a", "w/o b", "w/o a, b"]
