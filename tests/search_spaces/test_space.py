"""Search spaces as data: what they hold, which points lie in them, and what a malformed one is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import Choices, Range, SpaceError, available, load_space

WEIGHT = "'a.weight' = { low = 0.0, high = 1.0, step = 0.1 }\n"


def write(tmp_path, text):
    path = tmp_path / "space.toml"
    path.write_text(text if text.startswith("title") else f"[parameters]\n{text}")
    return path


@pytest.mark.parametrize("name", available("spaces"))
def test_every_built_in_space_loads_and_says_what_it_is(name):
    space = load_space(name)
    assert (space.name, space.title != name) == (name, True)


def test_the_weights_are_searched_over_the_papers_ranges():
    ends = {p.key: (p.domain.low, p.domain.high) for p in load_space("loss_weights").parameters}
    assert ends == {
        "generator_loss.batch_norm.weight": (0.0, 5.0),
        "student_loss.mhad.weight": (0.0, 100.0),
        "student_loss.sfcl.weight": (0.0, 100.0),
        "generator.attention.weight": (0.0, 0.09),
    }


def test_orders_count_only_where_the_term_has_a_weight():
    space = load_space("attention_orders")
    weight, orders = space.keys
    assert space.fits({weight: 10.0, orders: "1+2"})
    assert space.fits({weight: 0.0})
    assert not space.fits({weight: 0.0, orders: "1+2"})
    assert not space.fits({weight: 10.0})
    assert not space.fits({weight: 10.0, orders: "1+4"})
    assert space.read({weight: 0.0, orders: "1+2+3+4"}) == {weight: 0.0}
    assert space.read({weight: 10, orders: "3"}) == {weight: 10.0, orders: "3"}
    assert space.read({weight: 12.0, orders: "3"}) is None


def test_weights_and_orders_are_both_spaces_in_one():
    domains = {p.key: p.domain for p in load_space("weights_and_orders").parameters}
    weights = {p.key: p.domain for p in load_space("loss_weights").parameters}
    weight, orders = load_space("attention_orders").parameters
    assert domains == weights | {orders.key: orders.domain}
    space = load_space("weights_and_orders")
    assert {p.key: p.when for p in space.parameters if p.when} == {orders.key: orders.when}
    defaults = {
        "generator_loss.batch_norm.weight": 0.3,
        weight.key: 10.0,
        orders.key: "1+2+3",
        "student_loss.sfcl.weight": 8.0,
        "generator.attention.weight": 0.05,
    }
    assert space.fits(defaults)
    assert space.read(defaults | {weight.key: 0.0}) == {
        key: value for key, value in (defaults | {weight.key: 0.0}).items() if key != orders.key
    }


def test_a_parameter_below_one_that_does_not_count_does_not_count_either(tmp_path):
    text = (
        WEIGHT + "'a.kind' = { choices = ['x', 'y'], when = { 'a.weight' = '> 0' } }\n"
        "'a.size' = { low = 1, high = 8, when = { 'a.kind' = 'x' } }\n"
    )
    space = load_space(str(write(tmp_path, text)))
    assert space.fits({"a.weight": 0.5, "a.kind": "x", "a.size": 3})
    assert space.fits({"a.weight": 0.5, "a.kind": "y"})
    assert space.fits({"a.weight": 0.0})
    assert not space.fits({"a.weight": 0.0, "a.size": 3})


def test_a_step_gives_decimal_numbers_and_not_their_binary_neighbours():
    tenths = Range(0.0, 5.0, step=0.1)
    assert tenths.settle(3 * 0.1) == 0.3
    assert tenths.contains(3 * 0.1)
    assert not tenths.contains(0.35)
    assert not tenths.contains(5.1)
    assert not tenths.contains(True)
    assert tenths.steps == 50


@given(
    st.floats(0, 1, exclude_max=True),
    st.sampled_from([Range(0.0, 0.09, step=0.01), Range(1e-4, 1.0, log=True), Range(1, 7), Range(-1.0, 1.0)]),
)
def test_every_share_of_the_way_is_a_value_of_the_domain(share, domain):
    value = domain.at(share)
    assert domain.contains(value)
    assert domain.settle(value) == value
    assert domain.low <= value <= domain.high
    assert isinstance(value, int) == domain.whole


def test_shares_reach_both_ends_and_every_choice():
    assert (Range(0, 2).at(0.0), Range(0, 2).at(0.999)) == (0, 2)
    assert Range(1.0, 100.0, log=True).at(0.5) == pytest.approx(10.0)
    assert [Choices(("a", "b")).at(share) for share in (0.0, 0.49, 0.5, 0.99)] == ["a", "a", "b", "b"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("title = 'nothing'", ["at least one line under `[parameters]`"]),
        ("title = 1", ["`title`", "str"]),
        ("'a' = 3", ["line 2", "`a`", "low = ..., high = ...", "3"]),
        ("'a' = { low = 1.0 }", ["line 2", "`high` is missing"]),
        ("'a' = { low = 2.0, high = 1.0 }", ["line 2", "`low < high`", "low = 2, high = 1", "[base]"]),
        ("'a' = { low = 1.0, high = 1.0 }", ["line 2", "`low < high`"]),
        ("'a' = { low = 0.0, high = 1.0, log = true }", ["line 2", "`low > 0`", "low = 0", "Leave `log` out"]),
        ("'a' = { low = 1, high = 9, log = true, step = 2 }", ["`step`", "`log = true`"]),
        ("'a' = { low = 0, high = 9, step = -1 }", ["`step`", "> 0", "-1"]),
        ("'a' = { low = 0.0, high = 1.0, step = 0.3 }", ["multiple of `step`", "0.3"]),
        ("'a' = { low = 0.0, high = inf }", ["finite", "inf"]),
        ("'a' = { low = 'x', high = 1 }", ["`low` of `a`", "number", "'x'"]),
        ("'a' = { low = true, high = 2 }", ["`low` of `a`", "True"]),
        ("'a' = { lwo = 1, high = 2 }", ["line 2", "`lwo`", "Did you mean `low`"]),
        ("a.b = { low = 1, high = 2 }", ["`a`", "`b`", "quotes"]),
        ("'a' = { choices = ['x'] }", ["two or more", "['x']"]),
        ("'a' = { choices = [[1], [2]] }", ["two or more"]),
        ("'a' = { choices = ['1', '2', '1'] }", ["line 2", "must differ", "'1'"]),
        ("'a' = { choices = ['1', '2'], low = 1 }", ["choices"]),
        ("'a' = { choices = ['1', '2'], step = 1 }", ["`step`", "range"]),
        (WEIGHT + "'b' = { low = 0, high = 1, when = { 'a.wieght' = '> 0' } }", ["line 3", "Did you mean `a.weight`"]),
        ("'b' = { low = 0, high = 1, when = { 'a.weight' = '> 0' } }\n" + WEIGHT, ["stands above it", "none"]),
        (WEIGHT + "'b' = { low = 0, high = 1, when = { 'a.weight' = '> x' } }", ["with a number", "'> x'"]),
        (
            WEIGHT + "'b' = { low = 0, high = 1, when = { 'a.weight' = 7 } }",
            ["value of `a.weight`", "0 to 1, step 0.1"],
        ),
        ("title = 't'\n[base]\n'a' = 1\n[parameters]\n'a' = { low = 0, high = 2 }", ["line 3", "searched", "[base]"]),
    ],
)
def test_a_malformed_space(tmp_path, text, words):
    path = write(tmp_path, text)
    with pytest.raises(SpaceError) as error:
        load_space(str(path))
    message = str(error.value)
    assert not [word for word in [str(path), *words] if word not in message], message


def test_an_unknown_name():
    with pytest.raises(SpaceError, match="Did you mean `loss_weights`"):
        load_space("loss_weihgts")
