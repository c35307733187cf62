"""The replay by a variational autoencoder: what it learns, when, and what of it is off."""

import math

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from dfkd.errors import ConfigError
from dfkd.learners import Learners
from dfkd.models.encoder import Encoder
from dfkd.replay.autoencoder import to_standard_normal

CPU = torch.device("cpu")
SETTINGS = {
    "replay.kind": "autoencoder",
    "replay.fraction": 0.25,
    "replay.autoencoder.steps": 2,
    "schedule.student_steps": 3,
    "generator.output": "pixels",
}
TUNING = ("generator_loss.one_hot.weight", "generator_loss.class_balance.weight")


@pytest.fixture
def replay_of(tiny, teacher):
    """Return the replay of a tiny run with SETTINGS and the overrides."""
    return lambda overrides={}: Learners(tiny(SETTINGS | overrides), teacher=teacher, device=CPU).replay


def images(count=6, seed=0):
    return torch.rand((count, 3, 16, 16), generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_the_divergence_by_hand_and_by_torch():
    mean, log_variance = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, math.log(4)]])
    # 1/2 (1 + 1 - 1 - 0) and 1/2 (0 + 4 - 1 - log 4).
    assert to_standard_normal(mean, log_variance).item() == pytest.approx(0.5 + (3 - math.log(4)) / 2)
    given = Independent(Normal(mean, (log_variance / 2).exp()), 1)
    wanted = Independent(Normal(torch.zeros(1, 2), torch.ones(1, 2)), 1)
    assert to_standard_normal(mean, log_variance).item() == pytest.approx(kl_divergence(given, wanted).item())


@pytest.mark.parametrize("size", [16, 32, 64])
def test_an_image_has_a_code(size):
    mean, log_variance = Encoder(5, image_size=size, seed=0)(torch.zeros(2, 3, size, size))
    assert mean.shape == log_variance.shape == (2, 5)


def test_it_learns_in_the_first_steps_of_a_round(replay_of):
    replay = replay_of()
    learnt = []
    for _ in range(6):
        replay.remember(images())
        learnt.append(set(replay.measured()))
    terms = {"replay.reconstruction", "replay.prior"}
    assert learnt == [terms, terms, set(), terms, terms, set()]


def test_what_it_learns_by_hand(replay_of, teacher, monkeypatch):
    replay = replay_of()
    monkeypatch.setattr(replay.decoder, "forward", lambda codes: torch.zeros(len(codes), 3, 16, 16))
    replay.remember(images())
    shown, network = images()[:3], teacher.classifier.network  # half of them, and nothing to recall yet
    # Digits are normalised by 1/2 and 1/2, so that the middle of the tanh's range is 0 to the networks too.
    with torch.no_grad():
        answers = (network(shown) - network(torch.zeros(3, 3, 16, 16))).abs().mean()
    found = replay.measured()["replay.reconstruction"]
    assert found.item() == pytest.approx((shown.abs().mean() + answers).item(), rel=1e-5)


def test_it_gives_back_better_what_it_saw_often(replay_of):
    replay = replay_of({"replay.autoencoder.learning_rate": 0.005})
    errors = []
    for _ in range(60):
        replay.remember(images())
        errors += [value.item() for name, value in replay.measured().items() if name == "replay.reconstruction"]
    assert errors[-1] < 0.6 * errors[0]


def test_noise_takes_one_step_of_adam_before_it_is_decoded(replay_of):
    weights = dict.fromkeys(TUNING, 1.0)
    replay = replay_of(weights | {"generator.learning_rate": 0.25})
    noise = torch.randn((4, 8), generator=torch.Generator().manual_seed(0))
    replay.decoder.eval()
    # Adam's first step moves every number by the learning rate.
    moved = (replay._tuned(noise.clone()) - noise).abs()
    assert moved == pytest.approx(torch.full((4, 8), 0.25), abs=1e-4)


def test_without_terms_to_tune_it_by_noise_stays_and_the_teacher_is_not_asked(replay_of, teacher, monkeypatch):
    replay = replay_of(dict.fromkeys(TUNING, 0.0))
    noise = torch.randn(4, 8)
    monkeypatch.setattr(teacher.classifier.network, "forward", lambda images: pytest.fail("the teacher was asked"))
    assert torch.equal(replay._tuned(noise.clone()), noise)
    assert replay.sample(3).shape == (3, 3, 16, 16)


def test_recalled_images_are_the_last_of_a_students_batch_and_have_no_graph(tiny, teacher, monkeypatch):
    learners = Learners(tiny(SETTINGS), teacher=teacher, device=CPU)
    monkeypatch.setattr(learners.replay, "sample", lambda count: torch.full((count, 3, 16, 16), 7.0))
    with torch.no_grad():
        batch = learners.sample()
    assert (batch == 7).flatten(1).all(dim=1).tolist() == [False] * 6 + [True] * 2  # a quarter of 8
    assert not batch.requires_grad


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        ({"replay.fraction": 1.0}, "replay.fraction"),
        ({"synthesis.kind": "images", "schedule.batch_size": 8}, "replay.kind"),
        ({"replay.autoencoder.steps": 0}, "replay.autoencoder.steps"),
        ({"replay.autoencoder.prior_weight": -1.0}, "replay.autoencoder.prior_weight"),
    ],
)
def test_what_cannot_be_is_refused(tiny, overrides, key):
    with pytest.raises(ConfigError, match=f"`{key}`"):
        tiny(SETTINGS | overrides)
