"""Noise and classes of a generator, the average that replays it, and the terms of a generator step."""

import math

import pytest
import torch

from dfkd.errors import ConfigError
from dfkd.steps import generator_step, student_step
from dfkd.synthesis.latents import Labels, Latents, code, new_embedding

CPU = torch.device("cpu")
OFF = {"student_loss.mhad.weight": 0.0, "student_loss.sfcl.weight": 0.0, "generator.attention.weight": 0.0}
CONDITIONAL = {**OFF, "generator.class_embedding": 4, "generator_loss.one_hot.labels": "random"}


def latents(config):
    return Latents(config, classes=3, device=CPU)


def test_noise_lasts_a_step_or_a_round(tiny):
    rhythm = {"schedule.generator_steps": 1, "schedule.student_steps": 2}
    for lasts, same in (("step", []), ("round", [(0, 1), (0, 2), (1, 2)])):
        drawn = latents(tiny({**rhythm, "generator.noise_for": lasts}))
        batches = [drawn.draw(8)[0] for _ in range(4)]
        equal = [(i, j) for i in range(4) for j in range(i + 1, 4) if torch.equal(batches[i], batches[j])]
        assert equal == same


def test_part_of_a_rounds_noise_is_its_first_rows(tiny):
    drawn = latents(tiny({"generator.noise_for": "round"}))
    whole, _ = drawn.draw(8)
    part, _ = drawn.draw(3)
    assert torch.equal(part, whole[:3])


@pytest.mark.parametrize("kind", ["argmax", "random", "cycle"])
def test_noise_and_classes_go_on_from_their_state_within_a_round(tiny, kind):
    config = tiny({"generator.noise_for": "round", "generator_loss.one_hot.labels": kind})
    one, other = latents(config), latents(config)
    one.draw(8)
    other.load_state_dict(one.state_dict())
    for _ in range(3):
        (noise, labels), (noise_too, labels_too) = one.draw(8), other.draw(8)
        assert torch.equal(noise, noise_too)
        assert (labels is None) == (kind == "argmax")
        assert labels is None or torch.equal(labels, labels_too)


def test_classes_in_turn_and_at_random(tiny):
    cycle = Labels(tiny({"generator_loss.one_hot.labels": "cycle"}), classes=3, device=CPU)
    assert [cycle.draw(4).tolist(), cycle.draw(3).tolist()] == [[0, 1, 2, 0], [1, 2, 0]]
    random = Labels(tiny({"generator_loss.one_hot.labels": "random"}), classes=3, device=CPU).draw(3000)
    shares = random.bincount(minlength=3) / 3000
    assert (shares - 1 / 3).abs().max() < 0.05  # five standard deviations of sqrt(2 / 9 / 3000) are 0.043


def test_a_class_has_a_vector_behind_the_noise(tiny):
    embedding = new_embedding(tiny(CONDITIONAL), classes=3, device=CPU)
    made = code(torch.zeros(2, 8), torch.tensor([2, 0]), embedding)
    assert torch.equal(made, torch.cat([torch.zeros(2, 8), embedding.weight[[2, 0]]], dim=1))
    assert new_embedding(tiny(), classes=3, device=CPU) is None


def test_a_conditional_generator_must_be_told_which_classes(tiny):
    with pytest.raises(ConfigError, match=r"`generator.class_embedding` must be 0 unless .*one_hot.labels.* 4"):
        tiny({"generator.class_embedding": 4})


@pytest.mark.parametrize(("fraction", "right"), [(0.1, False), (0.25, True), (0.75, True), (0.9, False), (1.0, True)])
def test_a_replay_leaves_batch_norms_two_images_from_each_source(tiny, fraction, right):
    # Of 8 images: 1, 2, 6, 7 and all 8.
    settings = {"replay.kind": "generator", "replay.fraction": fraction}
    if right:
        assert tiny(settings).replay.images(8) == round(8 * fraction)
    else:
        with pytest.raises(ConfigError, match=r"`replay.fraction` must be a share of .*\(8\) that takes at least two"):
            tiny(settings)


def test_the_vectors_of_classes_are_trained_with_the_generator(tiny, learners):
    config = tiny({**CONDITIONAL, "generator_loss.one_hot.weight": 1.0})
    ours = learners({**CONDITIONAL, "generator_loss.one_hot.weight": 1.0})
    before = ours.synthesizer.embedding.weight.detach().clone()
    generator_step(config, ours)
    assert not torch.equal(ours.synthesizer.embedding.weight, before)


def test_a_step_has_the_terms_that_are_on_and_each_is_off_by_weight(tiny, learners):
    names = ("batch_norm", "adversarial", "one_hot", "class_balance", "activation")
    for on in names:
        weights = {f"generator_loss.{name}.weight": float(name == on) for name in names}
        measured = generator_step(tiny({**OFF, **weights}), learners({**OFF, **weights}))
        assert {name for name in measured if "_loss." in name} == {f"generator_loss.{on}"}
        assert math.isfinite(measured[f"generator_loss.{on}"])
        assert measured["generator.gradient_norm"] > 0


def test_a_long_gradient_of_the_generator_is_shortened(tiny, learners):
    settings = {**OFF, "generator.gradient_clip_norm": 1e-3}
    ours = learners(settings)
    assert generator_step(tiny(settings), ours)["generator.gradient_norm"] > 1e-3  # measured before it is shortened
    shortened = torch.cat([p.grad.flatten() for p in ours.synthesizer.network.parameters()]).norm()
    assert shortened.item() == pytest.approx(1e-3, rel=1e-3)


REPLAY = {**CONDITIONAL, "replay.kind": "generator", "replay.momentum": 0.75, "replay.fraction": 0.25}


class TestGeneratorReplay:
    def test_it_follows_each_generator_step_by_its_momentum(self, tiny, learners):
        ours = learners(REPLAY)
        pairs = [(ours.replay.network, ours.synthesizer.network), (ours.replay.embedding, ours.synthesizer.embedding)]
        before = [[p.detach().clone() for p in mine.parameters()] for mine, _ in pairs]
        generator_step(tiny(REPLAY), ours)
        for (mine, followed), was in zip(pairs, before, strict=True):
            for own, other, start in zip(mine.parameters(), followed.parameters(), was, strict=True):
                torch.testing.assert_close(own, 0.75 * start + 0.25 * other)

    def test_its_share_of_the_students_images_comes_last(self, tiny, learners):
        ours = learners(REPLAY)
        drawn = []
        for source in (ours.synthesizer, ours.replay):
            sample = source.sample
            source.sample = lambda count, sample=sample: drawn.append(sample(count)) or drawn[-1]
        images = ours.sample()
        assert [len(each) for each in drawn] == [6, 2]  # a quarter of 8
        assert torch.equal(images, torch.cat(drawn))

    def test_no_step_gives_it_a_gradient(self, tiny, learners):
        ours = learners(REPLAY)
        for step in (generator_step, student_step):
            step(tiny(REPLAY), ours)
        assert all(p.grad is None for p in ours.replay.network.parameters())
