"""Which cells cost the same, step for step, and how many steps epochs have."""

from collections import Counter

import pytest

from dfkd.config import RunConfig, ScheduleConfig
from dfkd.loop import epoch_phases
from dfkd.overrides import KEYS, flatten, with_overrides
from harness.shape import FREE, shape_of, steps_between


def shape(**overrides):
    return shape_of(flatten(with_overrides(RunConfig(), {k.replace("__", "."): v for k, v in overrides.items()})))


SAME = {
    "seed": 3,
    "student.learning_rate": 0.5,
    "schedule.epochs": 3,
    "schedule.generator_steps": 1,
    "student_loss.mhad.weight": 5.0,  # on is on
    "data.dataset": "digits",
    "teacher.epochs": 3,
}
OTHER = {
    "student.architecture": "resnet10",
    "teacher.architecture": "resnet18",
    "data.image_size": 64,
    "schedule.batch_size": 8,
    "compute.precision": "bfloat16",
    "compute.channels_last": True,
    "student_loss.mhad.weight": 0.0,
    "generator.attention.weight": 0.0,
    "student_loss.mhad.orders": "1",
    "student_loss.mhad.stages": "penultimate",
    "method": "scratch",
}


@pytest.mark.parametrize("key", SAME)
def test_what_leaves_the_cost_alone_leaves_the_shape_alone(key):
    assert shape(**{key: SAME[key]}) == shape()


@pytest.mark.parametrize("key", OTHER)
def test_what_moves_the_cost_makes_another_shape(key):
    assert shape(**{key: OTHER[key]}) != shape()


def test_a_parameter_of_a_term_that_is_off_makes_no_other_shape():
    off = {"student_loss.mhad.weight": 0.0}
    assert shape(**off, **{"student_loss.mhad.orders": "1"}) == shape(**off)


def test_a_configuration_from_before_a_field_was_there_has_the_fields_default():
    flat = flatten(RunConfig())
    del flat["generator.output"]
    assert shape_of(flat) == shape()


def test_every_free_field_exists():
    assert set(KEYS) >= FREE


@pytest.mark.parametrize("phases", ["alternate", "staged"])
@pytest.mark.parametrize(("first", "last"), [(1, 1), (2, 3), (1, 4), (4, 3)])
def test_steps_are_those_that_the_loop_takes(phases, first, last):
    schedule = ScheduleConfig(epochs=4, iterations_per_epoch=3, generator_steps=3, student_steps=2, phases=phases)
    config = {f"schedule.{key}": value for key, value in vars(schedule).items()}
    taken = Counter(phase for epoch in range(first, last + 1) for phase in epoch_phases(schedule, epoch))
    assert steps_between(config, first, last) == {phase: taken[phase] for phase in ("generator", "student")}


def test_a_student_of_real_images_has_no_generator_steps():
    config = flatten(with_overrides(RunConfig(), {"method": "real_kd"}))
    # 50 rounds of 15 student steps in each of two epochs
    assert steps_between(config, 1, 2) == {"generator": 0, "student": 1500}
