"""The configuration tree: what it refuses, in which words, and that it documents itself."""

import ast
import sys
from dataclasses import fields, is_dataclass
from inspect import getsource

import pytest

import dfkd.config
from dfkd.config import (
    DATASETS,
    DataConfig,
    GeneratorLossConfig,
    MHADConfig,
    RunConfig,
    StudentConfig,
    parse_classes,
    parse_orders,
)
from dfkd.errors import ConfigError, UserError
from dfkd.overrides import KEYS, with_overrides

WEIGHTS = [key for key in KEYS if key.endswith(".weight")]
RATES = [key for key in KEYS if key.endswith("learning_rate")]


def complaint(overrides):
    with pytest.raises(ConfigError) as caught:
        with_overrides(RunConfig(), overrides)
    return str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "texts"),
    [
        (
            "student_loss.mhad.weigth",
            1.0,
            ["`student_loss.mhad.weigth` is none", "Did you mean `student_loss.mhad.weight`?"],
        ),
        ("mhad.weight", 1.0, ["`mhad.weight` is none", "`student_loss.mhad.weight`"]),
        (
            "student_loss.mhad",
            1.0,
            ["`student_loss.mhad` is none", "The nearest of", "student_loss.mhad.weight, student_loss.mhad."],
        ),
        ("", 1, ["`` is none"]),
        ("schedule.epochs", "5", ["`schedule.epochs` must be an integer", "'5' (str)"]),
        ("schedule.epochs", 5.0, ["`schedule.epochs` must be an integer", "5.0 (float)"]),
        ("schedule.epochs", True, ["`schedule.epochs` must be an integer", "True (bool)"]),
        ("student.learning_rate", True, ["`student.learning_rate` must be a number", "True (bool)"]),
        ("student.learning_rate", "0.1", ["must be a number", "'0.1' (str)"]),
        ("compute.channels_last", 1, ["`compute.channels_last` must be true or false", "1 (int)"]),
        ("data.classes", 3, ["`data.classes` must be a string", "3 (int)"]),
        ("data.classes", None, ["`data.classes` must be a string", "None (NoneType)"]),
        (
            "data.image_size",
            50,
            ["`data.image_size` must be a positive multiple of 16", "the nearest is 48", "it is 50"],
        ),
        ("data.image_size", 7, ["multiple of 16", "the nearest is 16", "it is 7"]),
        ("data.image_size", -32, ["multiple of 16", "it is -32"]),
        ("data.crop_fraction", 0.0, ["`data.crop_fraction` must be in (0, 1]", "0.0"]),
        ("data.crop_fraction", 1.5, ["in (0, 1]", "1.5"]),
        ("data.validation_fraction", 1.0, ["`data.validation_fraction` must be in [0, 1)", "1.0"]),
        ("data.validation_fraction", float("nan"), ["in [0, 1)", "nan"]),
        ("data.dataset", "cub", ["`data.dataset` must be one of the known names", "'cub'", "Did you mean `cub200`?"]),
        ("data.classes", "20", ["`first:N` with N >= 2", "(`first:20` takes the first 20)", "'20'"]),
        ("data.classes", "first:1", ["N >= 2", "'first:1'"]),
        ("data.classes", "first:x", ["N >= 2", "'first:x'"]),
        ("data.classes", "a,a", ["`data.classes` must be a list without repetition", "'a,a'"]),
        ("data.classes", "a, b", ["without blanks around the commas", "'a, b'"]),
        ("data.classes", "a,,b", ["two or more class numbers or names", "'a,,b'"]),
        ("data.classes", "", ["two or more class numbers or names", "''"]),
        ("teacher.architecture", "alexnet", ["`teacher.architecture`", "'alexnet'", "Known: resnet8"]),
        ("student.architecture", "ResNet18", ["`student.architecture`", "Did you mean `resnet18`?"]),
        ("teacher.epochs", 0, ["`teacher.epochs` must be a finite number > 0", "it is 0"]),
        ("teacher.label_smoothing", 1.0, ["`teacher.label_smoothing` must be in [0, 1)", "1.0"]),
        ("teacher.crop_padding", -1, ["`teacher.crop_padding` must be an integer >= 0", "-1"]),
        ("student.momentum", 1.0, ["`student.momentum` must be in [0, 1)", "1.0"]),
        ("student.momentum", float("nan"), ["in [0, 1)", "nan"]),
        ("generator.beta1", 1.0, ["`generator.beta1` must be in [0, 1)"]),
        ("generator.beta2", -0.1, ["`generator.beta2` must be in [0, 1)"]),
        ("generator.noise_size", 0, ["`generator.noise_size` must be a finite number > 0"]),
        ("generator.attention.reduction", 3, ["`generator.attention.reduction` must be a power of two", "it is 3"]),
        ("generator.attention.softmax_axis", "channel", ["Did you mean `channels`?", "Known: channels, positions"]),
        ("student_loss.distillation.direction", "backward", ["Known: forward, reverse"]),
        ("student.normalisation_when_frozen", "eval", ["Known: batch, running"]),
        ("generator.normalisation_when_frozen", "eval", ["Known: batch, running"]),
        ("schedule.phases", "stage", ["Did you mean `staged`?"]),
        ("generator.output", "pixel", ["`generator.output`", "Did you mean `pixels`?"]),
        ("teacher.attention", "2+1", ["`teacher.attention` must be ascending orders", "'2+1'"]),
        ("teacher.attention_reduction", 3, ["`teacher.attention_reduction` must be one of 1, 2, 4, 8, 16"]),
        ("student_loss.mhad.orders", "3+1", ["`student_loss.mhad.orders` must be ascending", "'3+1'"]),
        ("student_loss.mhad.orders", "1+1", ["ascending", "'1+1'"]),
        ("student_loss.mhad.orders", "1+7", ["orders from 1 to 6", "'1+7'"]),
        ("student_loss.mhad.orders", "", ["joined by `+`", "''"]),
        ("student_loss.mhad.orders", "1,2", ["joined by `+`, such as `1+2+3`", "'1,2'"]),
        ("student_loss.mhad.orders", "01+1", ["ascending", "'01+1'"]),
        ("student_loss.mhad.reduction", 3, ["`student_loss.mhad.reduction` must be one of 1, 2, 4, 8, 16", "it is 3"]),
        (
            "student_loss.mhad.stages",
            "0+1",
            ["`student_loss.mhad.stages` must be `auto`", "'0+1'"],
        ),
        ("student_loss.mhad.stages", "3+2", ["ascending stage numbers", "such as `3+4`", "'3+2'"]),
        ("student_loss.mhad.stages", "2+2", ["ascending stage numbers", "'2+2'"]),
        ("student_loss.mhad.stages", "last", ["`penultimate`", "'last'"]),
        ("student_loss.mhad.stages", "", ["`all`", "''"]),
        ("student_loss.mhad.hidden_size", 0, ["`student_loss.mhad.hidden_size` must be a finite number > 0"]),
        ("student_loss.mhad.activation", "after", ["Did you mean `after_sum`?"]),
        ("student_loss.mhad.compared", "maps", ["Known: attended_features, attention_maps"]),
        ("student_loss.mhad.attention", "froze", ["Did you mean `frozen`?"]),
        ("student_loss.sfcl.temperature", 0.0, ["`student_loss.sfcl.temperature` must be a finite number > 0"]),
        ("student_loss.distillation.temperature", -1.0, ["`student_loss.distillation.temperature`", "-1.0"]),
        ("schedule.batch_size", 1, ["`schedule.batch_size` must be an integer >= 2", "it is 1"]),
        ("schedule.student_steps", 0, ["`schedule.student_steps` must be a finite number > 0"]),
        ("compute.precision", "bfloat61", ["`compute.precision`", "Did you mean `bfloat16`?"]),
        ("method", "real", ["`method` must be one of the known names", "Did you mean `real_kd`?"]),
        ("seed", -1, ["`seed` must be an integer >= 0", "it is -1"]),
    ],
)
def test_a_bad_value_is_refused_with_the_rule_the_value_and_the_way_out(key, value, texts):
    message = complaint({key: value})
    assert not [text for text in texts if text not in message], message


@pytest.mark.parametrize("key", WEIGHTS)
@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_a_weight_is_finite_and_not_negative(key, value):
    message = complaint({key: value})
    assert f"`{key}` must be a finite number >= 0 (0 switches the term off), but it is {value}" in message


@pytest.mark.parametrize("key", RATES)
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_learning_rate_is_finite_and_positive(key, value):
    assert f"`{key}` must be a finite number > 0, but it is {value}" in complaint({key: value})


def test_a_teacher_batch_of_one_is_refused():
    assert "teacher.batch_size" in complaint({"teacher.batch_size": 1})


def test_one_of_a_networks_terms_must_have_weight():
    assert "the generator has nothing to learn" in complaint(
        {"generator_loss.batch_norm.weight": 0.0, "generator_loss.adversarial.weight": 0.0}
    )
    student = {f"student_loss.{name}.weight": 0.0 for name in ("distillation", "mhad", "sfcl")}
    assert "the student has nothing to learn" in complaint(student)


def test_rules_hold_when_a_part_is_built_directly():
    for build in (
        lambda: DataConfig(image_size=50),
        lambda: StudentConfig(momentum=2.0),
        lambda: MHADConfig(orders="3+1"),
        lambda: MHADConfig(weight=-1.0),
        lambda: GeneratorLossConfig(batch_norm=dfkd.config.BatchNormConfig(weight=-1.0)),
    ):
        with pytest.raises(UserError):
            build()


def test_orders_and_classes_parse():
    assert parse_orders("1+2+3") == (1, 2, 3)
    assert parse_orders("2") == (2,)
    assert parse_classes("all") is None
    assert parse_classes("first:20") == 20
    assert parse_classes("17,Mallard") == ("17", "Mallard")


def test_the_defaults_are_the_papers():
    config = RunConfig()
    # Section 5.1 and Table 3: alpha 0.3, beta 10, gamma 8, lambda 5e-2, t = 20, k = 15, 200 epochs, batch 64.
    assert config.generator_loss.batch_norm.weight == 0.3
    assert (config.student_loss.mhad.weight, config.student_loss.sfcl.weight) == (10.0, 8.0)
    assert config.generator.attention.weight == 0.05
    assert (config.schedule.generator_steps, config.schedule.student_steps) == (20, 15)
    assert (config.schedule.epochs, config.schedule.batch_size) == (200, 64)
    # R = 3; Adam 1e-3 with betas 0.5 and 0.99; SGD 1e-2 with momentum 0.9 and weight decay 5e-4; ResNet-34 to ResNet-18
    # at 224 px. Both learning rates fall along a cosine: the paper says so of the student's, which has no other.
    assert parse_orders(config.student_loss.mhad.orders) == (1, 2, 3)
    generator, student = config.generator, config.student
    assert (generator.learning_rate, generator.beta1, generator.beta2) == (1e-3, 0.5, 0.99)
    assert (student.learning_rate, student.momentum, student.weight_decay) == (1e-2, 0.9, 5e-4)
    assert generator.schedule == "cosine"
    assert (config.teacher.architecture, student.architecture, config.data.image_size) == ("resnet34", "resnet18", 224)


def dataclasses_in(tree):
    yield type(tree)
    for f in fields(tree):
        if is_dataclass(value := getattr(tree, f.name)):
            yield from dataclasses_in(value)


@pytest.mark.parametrize("cls", list(dataclasses_in(RunConfig())), ids=lambda cls: cls.__name__)
def test_every_field_has_a_docstring_below_it(cls):
    module = ast.parse(getsource(sys.modules[cls.__module__]))
    body = next(node.body for node in module.body if isinstance(node, ast.ClassDef) and node.name == cls.__name__)
    for node, below in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign):
            documented = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
            assert documented, f"{cls.__name__}.{node.target.id}"
            assert below.value.value.strip()


def test_every_dataclass_is_frozen_and_documented():
    for cls in dataclasses_in(RunConfig()):
        assert cls.__dataclass_params__.frozen
        assert cls.__doc__
        assert cls.__doc__.endswith((".", ")"))


def test_the_names_of_the_data_sets_are_those_that_exist():
    from dfkd.data import DATASETS as EXISTING

    assert tuple(EXISTING) == DATASETS
