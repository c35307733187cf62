"""Operators: the rows that each makes, derived by hand, and what holds for any lists of values."""

import math
import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import SpaceError, load_grid

BETA, GAMMA, LAMBDA = "student_loss.mhad.weight", "student_loss.sfcl.weight", "generator.attention.weight"
ORDERS = "student_loss.mhad.orders"
VALUES = {
    BETA: 10.0,
    GAMMA: 8.0,
    LAMBDA: 0.05,
    ORDERS: "1+2+3",
    "method": "dfkd_fgvc",
    "student.architecture": "resnet18",
}
VALUES |= {"generator.noise_size": 256, "compute.channels_last": True, "generator_loss.adversarial.weight": 0.0}


def rows(text, *, settings=None):
    """Return name and overrides of the rows of a grid file that holds ``text``."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.toml"
        path.write_text(text)
        grid = load_grid(str(path)).expanded(VALUES, settings or {})
    assert grid.reference == grid.rows[0].name
    return [(row.name, dict(row.overrides)) for row in grid.rows]


def refused(text, *words):
    with pytest.raises(SpaceError) as error:
        rows(text)
    missing = [word for word in words if word not in str(error.value)]
    assert not missing, f"{missing} not in: {error.value}"


class TestByHand:
    def test_product(self):
        # Two values times two; the last key changes fastest.
        assert rows(f'[[rows]]\nproduct = {{ "{BETA}" = [0, 2.5], method = ["scratch", "real_kd"] }}') == [
            ("mhad.weight = 0, method = scratch", {BETA: 0, "method": "scratch"}),
            ("mhad.weight = 0, method = real_kd", {BETA: 0, "method": "real_kd"}),
            ("mhad.weight = 2.5, method = scratch", {BETA: 2.5, "method": "scratch"}),
            ("mhad.weight = 2.5, method = real_kd", {BETA: 2.5, "method": "real_kd"}),
        ]

    def test_zip(self):
        # First with first, second with second.
        assert rows(f'[[rows]]\nzip = {{ "{BETA}" = [1, 10], "{GAMMA}" = [8, 8] }}') == [
            ("mhad.weight = 1, sfcl.weight = 8", {BETA: 1, GAMMA: 8}),
            ("mhad.weight = 10, sfcl.weight = 8", {BETA: 10, GAMMA: 8}),
        ]

    def test_leave_one_out(self):
        # A part that is on is not overridden, so that `--set` can still give it another value.
        assert rows(f'[[rows]]\nleave_one_out = ["{BETA}", "{LAMBDA}", "compute.channels_last"]') == [
            ("full", {}),
            ("w/o mhad", {BETA: 0}),
            ("w/o attention", {LAMBDA: 0}),
            ("w/o channels_last", {"compute.channels_last": False}),
        ]

    def test_add_one_in(self):
        assert rows(f'[[rows]]\nadd_one_in = ["{BETA}", "{GAMMA}", "{LAMBDA}"]') == [
            ("baseline", {BETA: 0, GAMMA: 0, LAMBDA: 0}),
            ("+ mhad", {GAMMA: 0, LAMBDA: 0}),
            ("+ sfcl", {BETA: 0, LAMBDA: 0}),
            ("+ attention", {BETA: 0, GAMMA: 0}),
        ]

    def test_cumulative(self):
        assert rows(f'[[rows]]\ncumulative = ["{BETA}", "{GAMMA}", "{LAMBDA}"]') == [
            ("baseline", {BETA: 0, GAMMA: 0, LAMBDA: 0}),
            ("+ mhad", {GAMMA: 0, LAMBDA: 0}),
            ("+ mhad + sfcl", {LAMBDA: 0}),
            ("+ mhad + sfcl + attention", {}),
        ]

    def test_pairwise(self):
        # 1 + 3 + 3 rows: an interaction of two parts is full - (w/o a) - (w/o b) + (w/o a, b).
        assert rows(f'[[rows]]\npairwise = ["{BETA}", "{GAMMA}", "{LAMBDA}"]') == [
            ("full", {}),
            ("w/o mhad", {BETA: 0}),
            ("w/o sfcl", {GAMMA: 0}),
            ("w/o attention", {LAMBDA: 0}),
            ("w/o mhad, sfcl", {BETA: 0, GAMMA: 0}),
            ("w/o mhad, attention", {BETA: 0, LAMBDA: 0}),
            ("w/o sfcl, attention", {GAMMA: 0, LAMBDA: 0}),
        ]

    def test_orders(self):
        assert rows('[[rows]]\norders = ["1", "1+2+3"]') == [
            ("order 1", {ORDERS: "1"}),
            ("orders 1+2+3", {ORDERS: "1+2+3"}),
        ]

    def test_around(self):
        # 0.3 * 1.2 is 0.36 and 0.05 * 0.8 is 0.04, as one writes them: else they would be other cells.
        assert rows(f'[[rows]]\naround = {{ "{BETA}" = 0.3, "{LAMBDA}" = 0.05, by = 0.2 }}') == [
            ("mhad.weight = 0.3, attention.weight = 0.05", {BETA: 0.3, LAMBDA: 0.05}),
            ("mhad.weight = 0.24", {BETA: 0.24, LAMBDA: 0.05}),
            ("mhad.weight = 0.36", {BETA: 0.36, LAMBDA: 0.05}),
            ("attention.weight = 0.04", {BETA: 0.3, LAMBDA: 0.04}),
            ("attention.weight = 0.06", {BETA: 0.3, LAMBDA: 0.06}),
        ]

    def test_around_a_whole_number_gives_whole_numbers(self):
        # 256 * 0.9 = 230.4, 256 * 1.1 = 281.6
        made = rows('[[rows]]\naround = { "generator.noise_size" = 256, by = 0.1 }')
        assert [row["generator.noise_size"] for _, row in made] == [256, 230, 282]
        assert all(type(row["generator.noise_size"]) is int for _, row in made)

    def test_several_operators_in_a_table_are_multiplied(self):
        students = 'product = { "student.architecture" = ["resnet10", "resnet18"] }'
        assert rows(f'[[rows]]\n{students}\nleave_one_out = ["{BETA}"]') == [
            ("student.architecture = resnet10, full", {"student.architecture": "resnet10"}),
            ("student.architecture = resnet10, w/o mhad", {"student.architecture": "resnet10", BETA: 0}),
            ("student.architecture = resnet18, full", {"student.architecture": "resnet18"}),
            ("student.architecture = resnet18, w/o mhad", {"student.architecture": "resnet18", BETA: 0}),
        ]

    def test_set_is_shared_and_a_part_that_it_switches_on_is_on(self):
        adversarial = "generator_loss.adversarial.weight"
        text = f'[[rows]]\nleave_one_out = ["{adversarial}"]\nset = {{ "{adversarial}" = 1, method = "dfkd_fgvc" }}'
        assert rows(text) == [
            ("full", {adversarial: 1, "method": "dfkd_fgvc"}),
            ("w/o adversarial", {adversarial: 0, "method": "dfkd_fgvc"}),
        ]

    def test_dotted_keys_need_no_quotes(self):
        assert rows("[[rows]]\nproduct = { student_loss.mhad.weight = [0, 1] }") == rows(
            f'[[rows]]\nproduct = {{ "{BETA}" = [0, 1] }}'
        )


class TestNames:
    def test_of_keys_parts_and_values(self):
        names = f'names = {{ "{BETA}" = "beta", "{GAMMA}" = "gamma" }}'
        sweep = rows(f'[[rows]]\nproduct = {{ "{BETA}" = [10.0], "{GAMMA}" = [0, 1.5] }}\n{names}')
        assert [name for name, _ in sweep] == ["beta = 10, gamma = 0", "beta = 10, gamma = 1.5"]
        parts = rows(f'[[rows]]\nadd_one_in = ["{BETA}", "{GAMMA}"]\n{names}')
        assert [name for name, _ in parts] == ["baseline", "+ beta", "+ gamma"]
        labels = '{ method = { scratch = "labels", real_kd = "teacher" } }'
        bounds = rows(f'[[rows]]\nproduct = {{ method = ["scratch", "real_kd"] }}\nnames = {labels}')
        assert [name for name, _ in bounds] == ["labels", "teacher"]
        mixtures = rows(f'[[rows]]\norders = ["1", "1+2"]\nnames = {{ "{ORDERS}" = {{ "1" = "R = 1" }} }}')
        assert [name for name, _ in mixtures] == ["R = 1", "orders 1+2"]

    def test_a_table_of_rows_wins_over_the_grid(self):
        both = f'[names]\n"{BETA}" = "beta"\n"{GAMMA}" = "gamma"\n[[rows]]\nleave_one_out = ["{BETA}", "{GAMMA}"]\n'
        assert [name for name, _ in rows(both + f'names = {{ "{BETA}" = "MHAD" }}')] == [
            "full",
            "w/o MHAD",
            "w/o gamma",
        ]

    def test_keys_with_the_same_end_are_told_apart(self):
        text = '[[rows]]\nadd_one_in = ["generator.attention.weight", "teacher.attention.weight"]'
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "mine.toml"
            path.write_text(text)
            grid = load_grid(str(path)).expanded(VALUES | {"teacher.attention.weight": 1.0}, {})
        assert [row.name for row in grid.rows] == ["baseline", "+ generator.attention", "+ teacher.attention"]

    def test_prefix(self):
        text = "".join(
            f'[[rows]]\nleave_one_out = ["{BETA}"]\nprefix = "{student}: "\nset.student.architecture = "{student}"\n'
            for student in ("resnet10", "resnet34")
        )
        names = ["resnet10: full", "resnet10: w/o mhad", "resnet34: full", "resnet34: w/o mhad"]
        assert [name for name, _ in rows(text)] == names


class TestConditions:
    PRODUCT = f'[[rows]]\nproduct = {{ "{BETA}" = [0, 1, 10], "{GAMMA}" = [0, 8] }}\n'

    def pairs(self, extra, **kwargs):
        return [(row[BETA], row[GAMMA]) for _, row in rows(self.PRODUCT + extra, **kwargs)]

    def test_where_keeps_and_minus_drops_what_matches_every_key(self):
        assert self.pairs(f'where = {{ "{BETA}" = [0, 10] }}') == [(0, 0), (0, 8), (10, 0), (10, 8)]
        assert self.pairs(f'minus = {{ "{BETA}" = 0, "{GAMMA}" = 0 }}') == [(0, 8), (1, 0), (1, 8), (10, 0), (10, 8)]
        assert self.pairs(f'where = {{ "{BETA}" = 1 }}\nminus = {{ "{GAMMA}" = 0 }}') == [(1, 8)]

    def test_what_a_row_does_not_override_counts_as_well(self):
        assert len(self.pairs('where = { method = "dfkd_fgvc" }')) == 6
        leave = f'[[rows]]\nleave_one_out = ["{BETA}", "{GAMMA}"]\nminus = {{ "{BETA}" = 10, "{GAMMA}" = 8 }}'
        assert [name for name, _ in rows(leave)] == ["w/o mhad", "w/o sfcl"]
        assert [name for name, _ in rows(leave, settings={BETA: 5.0})] == ["full", "w/o mhad", "w/o sfcl"]

    def test_true_is_not_1(self):
        refused('[[rows]]\norders = ["1"]\nwhere = { "compute.channels_last" = 1 }', "leaves none of 1", "True")


KEYS = st.lists(st.sampled_from([BETA, GAMMA, LAMBDA]), unique=True, min_size=1)
NUMBERS = st.lists(st.integers(0, 4), unique=True, min_size=1, max_size=4)


@st.composite
def products(draw, first=()):
    """Return a table with ``product``, and its lists, of which ``first`` are given as pairs."""
    lists = dict(first)
    lists |= {key: draw(NUMBERS) for key in draw(KEYS) if key not in lists}
    listed = ", ".join(f'"{key}" = {items}' for key, items in lists.items())
    return f"[[rows]]\nproduct = {{ {listed} }}\n", lists


@given(products())
def test_a_product_has_the_product_of_its_lengths_and_no_row_twice(made):
    text, lists = made
    found = rows(text)
    assert len(found) == math.prod(map(len, lists.values()))
    assert len({name for name, _ in found}) == len(found)
    assert len({tuple(overrides.items()) for _, overrides in found}) == len(found)


@st.composite
def conditions(draw):
    """Return a table with ``product``, one of its fields, and values of which it has some, but not all it has."""
    key, values = draw(st.sampled_from([BETA, GAMMA])), draw(st.lists(st.integers(0, 4), unique=True, min_size=2))
    text, _ = draw(products([(key, values)]))
    some = values[: draw(st.integers(1, len(values) - 1))]
    return text, key, draw(st.permutations(some + draw(st.lists(st.integers(5, 12), unique=True))))


@given(conditions())
def test_where_and_minus_share_out_the_rows(made):
    text, key, wanted = made
    condition = f'{{ "{key}" = {wanted} }}'
    inside = [overrides[key] in wanted for _, overrides in rows(text)]
    assert 0 < sum(inside) < len(inside)
    kept, dropped = rows(f"{text}where = {condition}"), rows(f"{text}minus = {condition}")
    assert sorted(kept + dropped) == sorted(rows(text))
    assert len(kept) == sum(inside)


@given(KEYS)
def test_sizes_of_the_operators_on_parts(keys):
    n, listed = len(keys), "[" + ", ".join(f'"{key}"' for key in keys) + "]"
    sizes = {"leave_one_out": n + 1, "add_one_in": n + 1, "cumulative": n + 1}
    assert {operator: len(rows(f"[[rows]]\n{operator} = {listed}")) for operator in sizes} == sizes
    if n > 1:
        assert len(rows(f"[[rows]]\npairwise = {listed}")) == 1 + n + n * (n - 1) // 2
    steps = [overrides for _, overrides in rows(f"[[rows]]\ncumulative = {listed}")]
    assert all(len(before) == len(after) + 1 for before, after in pairwise(steps))


@given(st.floats(0.01, 100), st.floats(0.01, 0.99))
def test_around_stays_on_both_sides_of_its_centre(value, by):
    low, high = (row[BETA] for _, row in rows(f'[[rows]]\naround = {{ "{BETA}" = {value!r}, by = {by!r} }}')[1:])
    assert low < value < high
    assert math.isclose((low + high) / 2, value, rel_tol=1e-9)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f'zip = {{ "{BETA}" = [1, 2], "{GAMMA}" = [1] }}', ["line 2", "equally many", "has 2, ", "has 1"]),
        (f'zip = {{ "{BETA}" = [1, 1] }}', ["line 2", "different rows", "twice"]),
        ("product = {}", ["line 2", "`product`", "at least one key"]),
        (f'product = {{ "{BETA}" = [] }}', ["line 2", BETA, "at least one"]),
        (f'product = {{ "{BETA}" = 3 }}', ["line 2", BETA, "a list", "3", "`set`"]),
        (f'product = {{ "{BETA}" = [[1]] }}', ["line 2", BETA, "numbers, strings or booleans"]),
        (f'product = {{ "{BETA}" = [0, 1, 0] }}', ["line 2", BETA, "different values", "0 twice"]),
        ('product = { "student_loss.mhad.wieght" = [1] }', ["line 2", f"Did you mean `{BETA}`"]),
        ('product = { "mhad.weight" = [1] }', ["line 2", f"Did you mean `{BETA}`"]),
        ("product = [1]", ["line 2", "`product`", "a table", "[1]"]),
        ("prodct = {}", ["line 2", "`prodct`", "Did you mean `product`", "leave_one_out"]),
        ('set = { method = "scratch" }', ["line 1", "must have an operator", "leave_one_out", "union"]),
        ("leave_one_out = []", ["line 2", "`leave_one_out`", "keys of parts"]),
        ('leave_one_out = ["student_loss.mhad"]', ["line 2", "`student_loss.mhad` is none", "Did you mean"]),
        (f'leave_one_out = ["{ORDERS}"]', ["line 2", ORDERS, "'1+2+3'", "`product`"]),
        (f'leave_one_out = ["{BETA}", "{BETA}"]', ["line 2", "different parts", "twice"]),
        ('add_one_in = ["generator_loss.adversarial.weight"]', ["line 2", "parts that are on", "is 0", "`set`"]),
        ("cumulative = [3]", ["line 2", "keys of parts", "[3]"]),
        (f'pairwise = ["{BETA}"]', ["line 2", "at least two", "`leave_one_out`"]),
        ('orders = ["1", "1"]', ["line 2", "different mixtures", "'1' twice"]),
        ('orders = ["1+2+2"]', ["line 2", "'1+2+2'", "'2' twice"]),
        ("orders = [1]", ["line 2", "strings", "[1]"]),
        ("orders = []", ["line 2", "strings", "[]"]),
        (f'around = {{ "{BETA}" = 10 }}', ["line 2", "`by`", "between 0 and 1", "None"]),
        (f'around = {{ "{BETA}" = 10, by = 20 }}', ["line 2", "`by`", "between 0 and 1", "20"]),
        ("around = { by = 0.2 }", ["line 2", "at least one value"]),
        (f'around = {{ "{BETA}" = 0, by = 0.2 }}', ["line 2", BETA, "other than 0", "`product`"]),
        (f'around = {{ "{BETA}" = nan, by = 0.2 }}', ["line 2", BETA, "numbers", "nan"]),
        (f'around = {{ "{ORDERS}" = "1", by = 0.2 }}', ["line 2", ORDERS, "numbers", "'1'"]),
        (f'around = {{ "{ORDERS}" = 3, by = 0.2 }}', ["line 2", ORDERS, "fields that are numbers"]),
        ('around = { "generator.noise_size" = 4, by = 0.1 }', ["line 2", "generator.noise_size", "larger `by`"]),
        (f'orders = ["1"]\nwhere = {{ "{ORDERS}" = "2" }}', ["line 3", "`where`", "leaves none of 1", "'1'"]),
        (f'orders = ["1"]\nminus = {{ "{ORDERS}" = "1" }}', ["line 3", "`minus`", "leaves none of 1", "'1'"]),
        ('orders = ["1"]\nwhere = { methud = "scratch" }', ["line 3", "Did you mean `method`"]),
        ('orders = ["1"]\nset = { methud = "scratch" }', ["line 3", "Did you mean `method`"]),
        ('orders = ["1"]\nnames = { methud = "M" }', ["line 3", "Did you mean `method`"]),
        ('orders = ["1"]\nnames = { method = 3 }', ["`names`", "strings", "3"]),
        (f'orders = ["1"]\nset = {{ "{ORDERS}" = "2" }}', ["line 3", "`set` must have an effect", ORDERS]),
        (f'orders = ["1"]\nproduct = {{ "{ORDERS}" = ["2"] }}', ["different keys", "`orders`", "`product`", ORDERS]),
        ('product = { method = ["a", "b"] }\nnames = { method = { a = "x", b = "x" } }', ["differ", "'x'", "`prefix`"]),
        ('union = [3]', ["line 2", "`union` must list grids", "[3]"]),
        ('union = ["tabel3"]', ["line 2", "tabel3", "Did you mean `table3`"]),
    ],
)  # fmt: skip
def test_a_malformed_table_of_rows(text, words):
    refused(f"[[rows]]\n{text}\n", "mine.toml", *words)
