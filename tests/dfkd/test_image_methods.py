"""Methods whose images take a round to make, and the bank that the student is shown them from."""

import pytest
import torch

import dfkd.synthesis.images
from dfkd.config import RunConfig
from dfkd.errors import CheckpointError, ConfigError
from dfkd.learners import Learners
from dfkd.loop import distill, epoch_phases
from dfkd.overrides import canonical, with_overrides
from dfkd.state import read_state, sample_grid
from dfkd.steps import generator_step, student_step
from records import numbers, same

CPU = torch.device("cpu")

BANK = {
    **{"replay.kind": "images", "replay.fraction": 1.0, "replay.crop_padding": 1},
    **{"student_loss.mhad.weight": 0.0, "student_loss.sfcl.weight": 0.0},
    **{"student.normalisation_when_frozen": "running", "schedule.generator_steps": 2, "schedule.student_steps": 2},
}
FITTED = {
    **{"synthesis.kind": "generator_and_noise", "generator.output": "pixels", "synthesis.noise.crop_padding": 1},
    **{"generator_loss.one_hot.weight": 0.5, "generator_loss.one_hot.labels": "random"},
    **{"generator_loss.adversarial.kind": "kl", "generator_loss.adversarial.mask": "agreeing"},
}
METHODS = {
    "adi": {
        **{"synthesis.kind": "images", "generator_loss.one_hot.weight": 1.0, "generator_loss.one_hot.labels": "cycle"},
        **{"generator_loss.adversarial.kind": "jensen_shannon", "generator_loss.adversarial.temperature": 3.0},
        **{"generator_loss.total_variation.weight": 2.5e-5, "generator_loss.pixel_norm.weight": 1e-5},
    },
    "zskd": {
        **{"synthesis.kind": "images", "generator_loss.one_hot.labels": "cycle"},
        **{"generator_loss.batch_norm.weight": 0.0, "generator_loss.adversarial.weight": 0.0},
        "generator_loss.impressions.weight": 1.0,
    },
    "cmi": {**FITTED, "generator_loss.contrast.weight": 0.8, "generator_loss.contrast.capacity": 20},
    "fast": {
        **FITTED,
        **{"synthesis.noise.start": "maml", "generator_loss.batch_norm.momentum": 0.9, "schedule.warm_up": 0.4},
    },
    "fast by reptile": {**FITTED, "synthesis.noise.start": "reptile"},
}
TERMS = {
    "adi": {"batch_norm", "adversarial", "one_hot", "total_variation", "pixel_norm"},
    "zskd": {"impressions"},
    "cmi": {"batch_norm", "adversarial", "one_hot", "contrast"},
    "fast": {"batch_norm", "adversarial", "one_hot"},
    "fast by reptile": {"batch_norm", "adversarial", "one_hot"},
}


@pytest.fixture
def start(tiny, teacher, digits):
    """Return ``start(method, path, overrides)``: the records of a tiny run, one by one."""
    return lambda method, path, overrides={}: distill(
        tiny(BANK | METHODS[method] | overrides), teacher=teacher, test=digits[1], device=CPU, state_path=path
    )


WITHIN_A_ROUND = {"schedule.phases": "staged", "schedule.generator_steps": 3, "schedule.student_steps": 2}
"""An epoch of five generator steps: a round is three."""


@pytest.mark.parametrize(
    ("method", "overrides"),
    [
        *((method, {}) for method in ("adi", "cmi", "fast")),
        ("adi", WITHIN_A_ROUND),
        *(pytest.param(method, WITHIN_A_ROUND, marks=pytest.mark.slow) for method in ("cmi", "fast by reptile")),
        ("zskd", {"replay.fraction": 0.5, "replay.capacity": 12}),
    ],
)
def test_a_run_that_stopped_ends_as_if_it_had_not(start, tmp_path, method, overrides):
    whole = list(start(method, tmp_path / "whole" / "state.pt", overrides))
    path = tmp_path / "parts" / "state.pt"
    first = start(method, path, overrides)
    for _ in range(2):
        next(first)
    first.close()
    resumed = list(start(method, path, overrides))
    assert numbers(resumed) == numbers(whole)
    one, other = (read_state(tmp_path / which / "state.pt") for which in ("whole", "parts"))
    assert numbers(one.pop("history")) == numbers(other.pop("history"))
    assert same(one, other)


@pytest.mark.parametrize("method", METHODS)
def test_every_term_is_logged_and_no_other(start, method):
    last = list(start(method, None))[-1]
    found = {name.removeprefix("generator_loss.") for name in last if name.startswith("generator_loss.")}
    assert found == TERMS[method]
    assert {name for name in last if name.startswith("student_loss.")} == {"student_loss.distillation"}


def learners_of(tiny, teacher, method, overrides=None):
    return Learners(tiny(BANK | METHODS[method] | (overrides or {})), teacher=teacher, device=CPU)


@pytest.mark.parametrize("method", METHODS)
def test_a_rounds_images_are_banked_when_it_ends(tiny, teacher, method):
    learners = learners_of(tiny, teacher, method, {"schedule.warm_up": 0.0})
    config = learners.judges.config
    for step in range(4):
        generator_step(config, learners)
        assert len(learners.replay.bank) == 8 * ((step + 1) // 2)
    banked = learners.replay.bank.take(torch.arange(16))
    assert not torch.equal(banked[:8], banked[8:])
    finished = learners.replay._range.to_bytes(learners.synthesizer.finished())
    assert torch.equal(banked[8:], finished)
    assert learners.sample().shape == (8, 3, 16, 16)


@pytest.mark.parametrize("method", METHODS)
def test_synthesis_leaves_teacher_and_student_alone(tiny, teacher, method):
    learners = learners_of(tiny, teacher, method, {"schedule.warm_up": 0.0})
    networks = [teacher.classifier.network, learners.student.network]
    before = [{key: value.clone() for key, value in network.state_dict().items()} for network in networks]
    for _ in range(3):
        generator_step(learners.judges.config, learners)
    assert all(same(dict(network.state_dict()), old) for network, old in zip(networks, before, strict=True))
    student_step(learners.judges.config, learners)
    assert not same(dict(learners.student.network.state_dict()), before[1])


def test_a_term_of_weight_zero_changes_no_image(tiny, teacher):
    plain, without = (
        learners_of(tiny, teacher, "adi", {"generator_loss.total_variation.weight": weight} | extra)
        for weight, extra in ((0.0, {}), (0.0, {"generator_loss.contrast.temperature": 0.7}))
    )
    for learners in (plain, without):
        for _ in range(2):
            generator_step(learners.judges.config, learners)
    assert torch.equal(plain.synthesizer.finished(), without.synthesizer.finished())


@pytest.mark.parametrize(("factors", "best"), [((1.0, 100.0), 0), ((100.0, 1.0), 1)])
def test_finished_are_the_images_of_the_lowest_loss(tiny, teacher, monkeypatch, factors, best):
    """And not those that the step with the lowest loss led to, nor always the last."""
    learners, shown, factor = learners_of(tiny, teacher, "adi"), [], iter(factors)
    minimised = dfkd.synthesis.images.minimised

    def noted(config, terms):
        shown.append(learners.synthesizer._shown().detach().clone())
        return next(factor) * (1000 + minimised(config, terms))

    monkeypatch.setattr(dfkd.synthesis.images, "minimised", noted)
    for _ in range(2):
        generator_step(learners.judges.config, learners)
    # Noise goes beyond what pixels can be, and is cut when it is banked: to [-1, 1] for digits.
    difference = learners.synthesizer.finished() - shown[best].clamp(-1, 1)
    assert difference.abs().max() <= 1 / 255 + 1e-6


def test_images_stay_what_pixels_can_be(tiny, teacher):
    learners = learners_of(tiny, teacher, "adi", {"synthesis.images.learning_rate": 5.0})
    for _ in range(2):
        generator_step(learners.judges.config, learners)
    # Digits are normalised by mean and deviation 1/2: black is -1 and white 1.
    assert learners.synthesizer._images.abs().max() == 1


def test_the_warm_up_takes_generator_steps_alone(tiny):
    schedule = tiny({"schedule.epochs": 5, "schedule.iterations_per_epoch": 3, "schedule.warm_up": 0.3}).schedule
    # 4 of 15 rounds: all three of the first epoch, and one of the second.
    assert schedule.warm_up_rounds == 4
    assert epoch_phases(schedule, 1) == ["generator"] * 3
    assert epoch_phases(schedule, 2) == ["generator", *["generator", "student"] * 2]
    assert epoch_phases(schedule, 3) == ["generator", "student"] * 3


def test_the_warm_up_has_no_adversarial_term(start):
    first, *_, last = start("fast", None, {"schedule.epochs": 3, "schedule.warm_up": 0.34})
    assert "generator_loss.adversarial" not in first
    assert "student_loss.distillation" not in first
    assert "generator_loss.adversarial" in last


def test_a_learnt_start_is_where_rounds_begin(tiny, teacher):
    learners = learners_of(tiny, teacher, "fast", {"schedule.warm_up": 0.0})
    synthesizer, config = learners.synthesizer, learners.judges.config
    start = synthesizer.start.network
    before = start.project.weight.clone()
    generator_step(config, learners)
    assert torch.equal(start.project.weight, before)
    assert not torch.equal(synthesizer.network.project.weight, before)
    gradient = start.project.weight.grad.clone()
    torch.testing.assert_close(gradient, synthesizer.network.project.weight.grad)
    generator_step(config, learners)
    # The sum of both steps' gradients; Adam's first step is the rate, 1e-3 times two steps, against their signs.
    torch.testing.assert_close(start.project.weight.grad, gradient + synthesizer.network.project.weight.grad)
    moved = (start.project.weight - before) / -start.project.weight.grad.sign()
    torch.testing.assert_close(moved.median(), torch.tensor(2e-3), rtol=1e-3, atol=0)


def test_a_fresh_start_is_anew_each_round_and_the_same_for_a_seed(tiny, teacher):
    weights = []
    for seed in (0, 0, 1):
        learners = learners_of(tiny, teacher, "cmi", {"seed": seed, "schedule.generator_steps": 1})
        for number in range(2):
            learners.synthesizer.start.begin(learners.synthesizer.network, number)
            weights.append(learners.synthesizer.network.project.weight.clone())
    assert torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[4])


def test_the_bank_of_features_is_bounded(tiny, teacher):
    learners = learners_of(tiny, teacher, "cmi")
    for _ in range(8):
        generator_step(learners.judges.config, learners)
    # Four rounds of eight images, of which 20 fit.
    assert len(learners.synthesizer.contrast.bank) == 20


def test_a_generators_images_can_be_kept_too(tiny, teacher, digits, tmp_path):
    config = tiny(BANK | {"replay.fraction": 0.5})
    records = list(distill(config, teacher=teacher, test=digits[1], device=CPU, state_path=tmp_path / "x.pt"))
    assert len(records) == 3
    assert (tmp_path / "x.images").stat().st_size > 0


def test_a_state_without_its_bank_is_refused(start, tmp_path):
    next(start("adi", tmp_path / "state.pt"))
    (tmp_path / "state.images").unlink()
    with pytest.raises(CheckpointError, match=r"state.images beside it must belong together"):
        next(start("adi", tmp_path / "state.pt"))


def test_samples_are_the_images_finished_last(start, tiny, tmp_path):
    for method in ("adi", "cmi"):
        next(start(method, tmp_path / method))
        picture = sample_grid(read_state(tmp_path / method), tiny(BANK | METHODS[method]), count=4, columns=2)
        assert picture.shape == (3, 38, 38)


REFUSED = {
    "generator_loss.impressions.weight": {"generator_loss.impressions.weight": 1.0},
    "generator_loss.contrast.weight": {"generator_loss.contrast.weight": 1.0},
    "generator_loss.batch_norm.momentum": {"generator_loss.batch_norm.momentum": 0.9},
    "replay.kind": {"synthesis.kind": "images", "replay.kind": "generator"},
    "replay.fraction": {"replay.kind": "images", "replay.fraction": 1.0},
    "generator.output": {"replay.kind": "images", "generator.output": "standardised"},
    "schedule.warm_up": {"schedule.phases": "staged", "schedule.warm_up": 0.1},
    "generator_loss.impressions.concentrations": {"generator_loss.impressions.concentrations": "1+x"},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_together_is_refused(name):
    with pytest.raises(ConfigError, match=f"`{name}` must be"):
        with_overrides(RunConfig(), REFUSED[name])


def test_fields_of_another_kind_identify_nothing():
    idle = {"synthesis.images.jitter": 0.2, "synthesis.noise.learning_rate": 1.0, "replay.capacity": 7}
    assert canonical(with_overrides(RunConfig(), idle)) == {}
    images = with_overrides(RunConfig(), idle | {"synthesis.kind": "images", "generator.noise_size": 3})
    assert canonical(images) == {"synthesis.kind": "images", "synthesis.images.jitter": 0.2}
