"""Data-free methods learn: three digits in 800 student steps, well above the third that chance gives."""

import pytest
import torch

from dfkd.config import RunConfig
from dfkd.data import dataset_spec
from dfkd.loop import distill
from dfkd.overrides import with_overrides
from dfkd.teacher import load_teacher, train_teacher
from search_spaces import load_method

CPU = torch.device("cpu")

SETTINGS = {
    "data.dataset": "digits",
    "data.image_size": 16,
    "data.crop_fraction": 1.0,
    "data.classes": "first:3",
    "teacher.architecture": "resnet8",
    "teacher.epochs": 8,
    "student.architecture": "resnet8",
    "student.learning_rate": 0.06,
    "generator.learning_rate": 0.005,
    "schedule.epochs": 2,
    "schedule.batch_size": 16,
}

OWN: dict[str, dict[str, object]] = {
    # As digits and the demonstration's budget have it: the paper's 20 and 15 steps a round spend most of it on the
    # generator, whose images stay alike without batch norm.
    "dfkd_fgvc": {
        **{"schedule.generator_steps": 8, "schedule.student_steps": 16, "generator.block_normalisation": "batch"},
        **{"student_loss.mhad.weight": 100.0, "student_loss.sfcl.weight": 1.0, "student_loss.sfcl.temperature": 0.5},
        "student.gradient_clip_norm": 20.0,
    },
    # 400 student steps a round would be two rounds: two batches of images.
    "fast": {"schedule.student_steps": 20, "schedule.batch_size": 32, "generator.learning_rate": 0.001},
}
"""Beside SETTINGS and the preset, what a method's run of this length asks for."""

STUDENT_STEPS = 800
"""Of a run, however many generator steps its rhythm puts between them."""

BOUNDS = {
    **{"adi": 0.8, "cmi": 0.8, "dfkd_fgvc": 0.7, "dfq": 0.8, "fast": 0.7, "mad": 0.6, "own_best": 0.8, "zskd": 0.7},
}
"""Accuracy to be exceeded, by method. Measured when written: ADI 0.985, CMI 1.000, DFKD-FGVC
0.993 (of seeds 0, 1, 2 each), DFQ 0.956, Fast-Datafree 0.978, MAD 0.785, our own 0.956, ZSKD 0.911."""


@pytest.fixture(scope="module")
def three_digits(tmp_path_factory):
    """Return a function that loads a teacher of three digits, and the test split."""
    config = with_overrides(RunConfig(), SETTINGS)
    train, test = (dataset_spec("digits").load(config.data, root=None, split=split) for split in ("train", "test"))
    path = tmp_path_factory.mktemp("three") / "teacher.pt"
    list(train_teacher(config, train=train, test=test, device=CPU, path=path))
    return lambda: load_teacher(config, path, class_names=test.class_names), test


@pytest.mark.slow
@pytest.mark.timeout(900)  # a minute or two of one core, more beside other work
@pytest.mark.parametrize("method", BOUNDS)
def test_it_learns_three_digits(three_digits, method):
    teacher, test = three_digits
    overrides = {**SETTINGS, **load_method(method).overrides, "method": method, **OWN.get(method, {})}
    config = with_overrides(RunConfig(), overrides)
    rounds = STUDENT_STEPS // (config.schedule.epochs * config.schedule.student_steps)
    config = with_overrides(config, {"schedule.iterations_per_epoch": rounds})
    *_, record = distill(config, teacher=teacher(), test=test, device=CPU)
    assert record["test_accuracy"] > BOUNDS[method]
