"""Zero-shot distillation's class similarities, its targets and their loss."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dfkd.losses import class_similarity, draw_targets, soft_cross_entropy


def test_similarity_by_hand():
    # Cosines with e1: 1 (itself), 0.6 of (3, 4), -1 of (-2, 0). Stretched: 1, 1.6 / 2, 0.
    similarity = class_similarity(torch.tensor([[1.0, 0.0], [3.0, 4.0], [-2.0, 0.0]]))
    torch.testing.assert_close(similarity[0], torch.tensor([1.0, 0.8, 0.0]))
    torch.testing.assert_close(similarity.diagonal(), torch.ones(3))


def test_classes_that_the_teacher_does_not_tell_apart_are_alike():
    assert torch.equal(class_similarity(torch.zeros(3, 4)), torch.ones(3, 3))


@given(st.integers(0, 99), st.floats(0.1, 10))
def test_every_row_reaches_from_zero_to_one_whatever_the_weights_size(seed, scale):
    weight = torch.randn(5, 8, generator=torch.Generator().manual_seed(seed))
    similarity = class_similarity(weight)
    torch.testing.assert_close(similarity.amin(dim=1), torch.zeros(5))
    torch.testing.assert_close(similarity.amax(dim=1), torch.ones(5))
    torch.testing.assert_close(class_similarity(scale * weight), similarity, atol=1e-5, rtol=1e-5)


def test_the_mean_of_the_targets_is_the_similarity_over_its_sum():
    # A Dirichlet distribution's mean is alpha over its sum: (1, 0.5, 0) / 1.5, whatever beta is.
    similarity = torch.tensor([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.5, 1.0]])
    drawn = draw_targets(
        similarity, torch.zeros(4000, dtype=torch.int64), torch.ones(4000), source=np.random.default_rng(0)
    )
    torch.testing.assert_close(drawn.sum(dim=1), torch.ones(4000))
    # The standard error of a mean is at most 0.5 / sqrt(4000) = 0.008.
    torch.testing.assert_close(drawn.mean(dim=0), torch.tensor([2 / 3, 1 / 3, 0.0]), atol=0.03, rtol=0)


def test_a_small_concentration_gives_sure_targets():
    labels = torch.zeros(500, dtype=torch.int64)
    sure, unsure = (
        draw_targets(torch.ones(4, 4), labels, torch.full((500,), beta), source=np.random.default_rng(0))
        .amax(dim=1)
        .mean()
        for beta in (0.1, 10.0)
    )
    assert sure > 0.8 > 0.5 > unsure


def test_the_same_stream_gives_the_same_targets():
    arguments = (torch.eye(3), torch.tensor([0, 1, 2]), torch.tensor([1.0, 0.1, 1.0]))
    one, other = (draw_targets(*arguments, source=np.random.default_rng(7)) for _ in range(2))
    assert torch.equal(one, other)


def test_soft_cross_entropy_by_hand():
    # At temperature 2 the logits 2 log(3, 1) give p = (3/4, 1/4): -(1/2 log 3/4 + 1/2 log 1/4).
    logits, targets = 2 * torch.tensor([[3.0, 1.0]]).log(), torch.tensor([[0.5, 0.5]])
    expected = -(math.log(0.75) + math.log(0.25)) / 2
    torch.testing.assert_close(soft_cross_entropy(logits, targets, temperature=2.0), torch.tensor(expected))


def test_a_temperature_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="`temperature > 0` must hold, but got temperature=0"):
        soft_cross_entropy(torch.zeros(1, 2), torch.ones(1, 2), temperature=0.0)
