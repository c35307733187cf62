"""Dotted keys into the tree, and what identifies a run."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfkd.config import ARCHITECTURES, RunConfig
from dfkd.errors import ConfigError
from dfkd.overrides import KEYS, canonical, flatten, parse_scalar, with_overrides

DEFAULT = RunConfig()

VALUES = {
    "seed": st.integers(0, 9),
    "data.dataset": st.sampled_from(["cub200", "digits"]),
    "data.image_size": st.sampled_from([16, 32, 224]),
    "data.classes": st.sampled_from(["all", "first:3", "1,2"]),
    "teacher.architecture": st.sampled_from(ARCHITECTURES),
    "teacher.epochs": st.integers(1, 9),
    "student.learning_rate": st.floats(1e-4, 1.0),
    "generator.attention.weight": st.sampled_from([0.0, 0.05, 1.0]),
    "generator.attention.reduction": st.sampled_from([4, 8]),
    "generator_loss.batch_norm.weight": st.sampled_from([0.0, 0.3, 3.0]),
    "student_loss.distillation.temperature": st.sampled_from([1.0, 4.0]),
    "student_loss.mhad.weight": st.sampled_from([0.0, 10.0, 1.0]),
    "student_loss.mhad.orders": st.sampled_from(["1", "1+2+3"]),
    "student_loss.mhad.stages": st.sampled_from(["auto", "penultimate", "3+4"]),
    "student_loss.sfcl.weight": st.sampled_from([0.0, 8.0, 1.0]),
    "student_loss.sfcl.temperature": st.sampled_from([0.07, 0.5]),
    "schedule.epochs": st.integers(1, 9),
    "compute.precision": st.sampled_from(["float32", "bfloat16"]),
    "compute.channels_last": st.booleans(),
}
OVERRIDES = st.fixed_dictionaries({}, optional=VALUES)


def run(overrides):
    return with_overrides(DEFAULT, overrides)


@given(OVERRIDES, OVERRIDES)
def test_the_flat_form_of_a_tree_turns_any_tree_into_it(one, other):
    assert with_overrides(run(one), flatten(run(other))) == run(other)


@given(OVERRIDES)
def test_overrides_change_their_keys_and_no_other(overrides):
    assert flatten(run(overrides)) == flatten(DEFAULT) | overrides


@given(OVERRIDES, st.integers(0, 99))
def test_the_order_of_overrides_does_not_matter(overrides, seed):
    items = list(overrides.items())
    random.Random(seed).shuffle(items)
    assert canonical(run(dict(items))) == canonical(run(overrides))
    assert list(canonical(run(dict(items)))) == list(canonical(run(overrides)))


@given(OVERRIDES)
def test_the_canonical_form_rebuilds_what_it_identifies(overrides):
    identity = canonical(run(overrides))
    assert canonical(run(identity)) == identity


def test_defaults_vanish_from_the_canonical_form():
    assert canonical(DEFAULT) == {}
    assert canonical(run(flatten(DEFAULT) | {"seed": 3})) == {"seed": 3}


def test_the_teacher_never_enters_the_canonical_form():
    assert canonical(run({"teacher.architecture": "resnet8", "teacher.epochs": 1, "teacher.seed": 9})) == {}


@pytest.mark.parametrize(
    ("weight", "parameters"),
    [
        ("student_loss.mhad.weight", {"student_loss.mhad.orders": "1", "student_loss.mhad.stages": "4"}),
        ("student_loss.sfcl.weight", {"student_loss.sfcl.temperature": 0.5, "student_loss.sfcl.hidden_size": 64}),
        (
            "generator.attention.weight",
            {"generator.attention.reduction": 4, "generator.attention.softmax_axis": "positions"},
        ),
    ],
)
def test_parameters_of_a_term_without_weight_vanish(weight, parameters):
    assert canonical(run({weight: 0.0, **parameters})) == {weight: 0.0}
    assert canonical(run(parameters)) == parameters


def test_a_temperature_that_nothing_uses_vanishes():
    off = {"student_loss.distillation.weight": 0.0, "generator_loss.adversarial.weight": 0.0}
    assert canonical(run(off | {"student_loss.distillation.temperature": 4.0})) == off
    # It is the generator's temperature as well.
    used = {"student_loss.distillation.weight": 0.0, "student_loss.distillation.temperature": 4.0}
    assert canonical(run(used)) == used


def test_an_integer_stands_for_a_float_and_leaves_no_trace():
    config = run({"student_loss.mhad.weight": 10, "student.learning_rate": 1})
    assert canonical(config) == {"student.learning_rate": 1.0}
    assert type(config.student.learning_rate) is float


def test_half_changed_trees_are_never_checked():
    # From batch norm alone to adversarial alone: either change by itself, in the wrong order, leaves no term.
    alone = run({"generator_loss.adversarial.weight": 0.0})
    swapped = with_overrides(alone, {"generator_loss.batch_norm.weight": 0.0, "generator_loss.adversarial.weight": 1.0})
    assert swapped.generator_loss.adversarial.weight == 1.0


def test_keys_are_the_leaves_in_the_order_of_declaration():
    assert KEYS[:3] == ("method", "seed", "data.dataset")
    assert KEYS[-1] == "compute.channels_last"
    assert len(set(KEYS)) == len(KEYS)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("seed", "7", 7),
        ("student.learning_rate", "1e-2", 0.01),
        ("student.learning_rate", "1", 1.0),
        ("compute.channels_last", "True", True),
        ("compute.channels_last", "false", False),
        ("data.classes", "1,2", "1,2"),
    ],
)
def test_text_becomes_the_fields_type(key, text, value):
    parsed = parse_scalar(key, text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("key", "text", "rule"),
    [
        ("seed", "1.5", "`seed` must be an integer, but it is '1.5'"),
        ("student.learning_rate", "fast", "`student.learning_rate` must be a number, but it is 'fast'"),
        ("compute.channels_last", "1", "`compute.channels_last` must be true or false, but it is '1'"),
        ("compute.chanels_last", "true", "Did you mean `compute.channels_last`"),
    ],
)
def test_text_of_another_type_is_refused(key, text, rule):
    with pytest.raises(ConfigError, match=rule.replace("`", "\\`")):
        parse_scalar(key, text)


@given(OVERRIDES)
def test_what_is_printed_can_be_typed(overrides):
    flat = flatten(run(overrides))
    assert {key: parse_scalar(key, str(value)) for key, value in flat.items()} == flat
