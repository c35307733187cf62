"""One core, 25 examples a property, and a teacher that is trained once for all tests."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from hypothesis import settings

from dfkd.config import RunConfig
from dfkd.data import dataset_spec
from dfkd.learners import Learners
from dfkd.overrides import with_overrides
from dfkd.teacher import load_teacher, train_teacher

torch.set_num_threads(1)
settings.register_profile("dfkd", max_examples=25, deadline=None, derandomize=True)
settings.load_profile("dfkd")

TINY = {
    "data.dataset": "digits",
    "data.image_size": 16,
    "data.classes": "first:3",
    "teacher.architecture": "resnet8",
    "teacher.epochs": 1,
    "student.architecture": "resnet8",
    "generator.noise_size": 8,
    "student_loss.sfcl.hidden_size": 16,
    "student_loss.sfcl.projection_size": 8,
    "schedule.epochs": 3,
    "schedule.iterations_per_epoch": 1,
    "schedule.generator_steps": 1,
    "schedule.student_steps": 1,
    "schedule.batch_size": 8,
}
"""Three digits at 16 pixels: a run of half a second with every part switched on."""


@pytest.fixture(scope="session")
def tiny():
    """Return ``tiny(overrides)``: the smallest run there is, changed by dotted keys."""
    return lambda overrides={}: with_overrides(RunConfig(), TINY | overrides)


@pytest.fixture(scope="session")
def digits(tiny):
    """Return the training and the test split of three digits."""
    spec = dataset_spec("digits")
    return tuple(spec.load(tiny().data, root=None, split=split) for split in ("train", "test"))


@pytest.fixture(scope="session")
def teacher_path(tiny, digits, tmp_path_factory):
    """Return the checkpoint of a teacher of three digits."""
    path = tmp_path_factory.mktemp("teacher") / "teacher.pt"
    train, test = digits
    list(train_teacher(tiny(), train=train, test=test, device=torch.device("cpu"), path=path))
    return path


@pytest.fixture
def teacher(tiny, teacher_path):
    """Return that teacher, loaded anew: a test may do with it what it likes."""
    return load_teacher(tiny(), teacher_path, class_names=("0", "1", "2"), way_out="")


@pytest.fixture
def learners(tiny, teacher):
    """Return ``learners(overrides)``: everything that a tiny run trains, at its initial state."""
    return lambda overrides={}: Learners(tiny(overrides), teacher=teacher, device=torch.device("cpu"))
