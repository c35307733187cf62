"""Data-free methods learn: three digits in 800 student steps, or all ten in 2,000, well above what chance gives."""

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

TEN_DIGITS = ("dafl", "dfad", "pre_dfkd", "zskt")
"""Methods in which logits alone guide the generator: of three digits, a new one may show the teacher a single one for
ever."""

TEN = {
    "data.classes": "all",
    "generator.learning_rate": 2e-4,
    "schedule.epochs": 5,
    "schedule.batch_size": 32,
}
"""Beside SETTINGS, for those."""

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
    **dict.fromkeys(TEN_DIGITS, TEN),
    # At a higher rate, in smaller batches or against a teacher of fewer epochs its images soon are one pattern a class.
    "dafl": {**TEN, "generator.learning_rate": 1e-4, "schedule.batch_size": 64, "teacher.epochs": 40},
}
"""Beside SETTINGS and the preset, what a method's run of this length asks for."""

BOUNDS = {
    **{"adi": 0.8, "cmi": 0.8, "dfkd_fgvc": 0.7, "dfq": 0.8, "fast": 0.7, "mad": 0.6, "own_best": 0.8, "zskd": 0.7},
    **{"dafl": 0.13, "dfad": 0.35, "pre_dfkd": 0.25, "zskt": 0.25},
}
"""Accuracy to be exceeded, by method. Measured when written, three digits, where chance is 0.333: ADI 0.985, CMI 1.000,
DFKD-FGVC 0.993 (seeds 0, 1, 2 each), DFQ 0.956, Fast-Datafree 0.978, MAD 0.785, our own 0.956, ZSKD 0.911. Ten digits,
where it is 0.1, by seeds 0, 1, 2: DAFL 0.276, 0.360, 0.173, DFAD 0.482, 0.484, 0.493, PRE-DFKD 0.438, 0.316, 0.362,
ZSKT 0.393, 0.371, 0.473."""

STUDENT_STEPS = {**dict.fromkeys(BOUNDS, 800), **dict.fromkeys(TEN_DIGITS, 2000)}
"""Of a run, however many generator steps its rhythm puts between them."""

RUNS = [(method, seed) for method in BOUNDS for seed in ((0, 1, 2) if method in TEN_DIGITS else (0,))]
"""What is close to chance is run more than once."""


def of_method(method, seed):
    """Return the configuration of a method's run."""
    overrides = {**SETTINGS, **load_method(method).overrides, "method": method, **OWN.get(method, {}), "seed": seed}
    config = with_overrides(RunConfig(), overrides)
    steps = config.schedule.epochs * config.schedule.student_steps
    return with_overrides(config, {"schedule.iterations_per_epoch": STUDENT_STEPS[method] // steps})


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """Return a function that gives a run's teacher, trained where no run has had it before, and the test split."""
    folder = tmp_path_factory.mktemp("teachers")

    def of(config):
        train, test = (dataset_spec("digits").load(config.data, root=None, split=split) for split in ("train", "test"))
        path = folder / f"{config.data.classes}-{config.teacher.epochs}.pt"
        if not path.exists():
            list(train_teacher(with_overrides(config, {"seed": 0}), train=train, test=test, device=CPU, path=path))
        return load_teacher(config, path, class_names=test.class_names), test

    return of


@pytest.mark.slow
@pytest.mark.timeout(900)  # a minute to four of one core, more beside other work
@pytest.mark.parametrize(("method", "seed"), RUNS)
def test_it_learns_digits(learnt, method, seed):
    config = of_method(method, seed)
    teacher, test = learnt(config)
    *_, record = distill(config, teacher=teacher, test=test, device=CPU)
    print(
        f"{method}, seed {seed}: {record['test_accuracy']:.3f}, class entropy {record['synthetic.class_entropy']:.2f}"
    )
    assert record["test_accuracy"] > BOUNDS[method]
