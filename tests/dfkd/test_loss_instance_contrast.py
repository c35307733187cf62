"""L_cr of contrastive model inversion."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dfkd.losses import instance_contrast

E1, E2 = [1.0, 0.0], [0.0, 1.0]


def features(seed, count=6):
    source = torch.Generator().manual_seed(seed)
    return torch.randn(count, 7, generator=source), torch.randn(count, 7, generator=source)


@pytest.mark.parametrize("tau", [1.0, 0.5])
def test_value_by_hand_without_a_bank(tau):
    # Local e1, e1; whole e1, e2. With a = exp(1 / tau): anchor 1: positive a, other 1: -log(a / (a + 1));
    # anchor 2: positive 1, other a: -log(1 / (a + 1)).
    a = math.exp(1 / tau)
    expected = (math.log((a + 1) / a) + math.log(a + 1)) / 2
    value = instance_contrast(torch.tensor([E1, E1]), torch.tensor([E1, E2]), temperature=tau, current=2)
    torch.testing.assert_close(value, torch.tensor(expected))


def test_the_means_of_batch_and_bank_are_added():
    # The same two images, of which the second lies in the bank: the sum of both losses and not their mean.
    expected = math.log((math.e + 1) / math.e) + math.log(math.e + 1)
    value = instance_contrast(torch.tensor([E1, E1]), torch.tensor([E1, E2]), temperature=1.0, current=1)
    torch.testing.assert_close(value, torch.tensor(expected))


@given(st.integers(0, 99), st.floats(0.1, 10), st.floats(0.1, 10))
def test_lengths_of_the_features_do_not_matter(seed, a, b):
    local, whole = features(seed)
    expected = instance_contrast(local, whole, temperature=0.1, current=4)
    torch.testing.assert_close(instance_contrast(a * local, b * whole, temperature=0.1, current=4), expected)


def test_images_that_look_alike_are_worse():
    apart, alike = torch.eye(4), torch.ones(4, 4)
    small, large = (instance_contrast(x, x, temperature=0.1, current=4) for x in (apart, alike))
    assert small < 0.01
    torch.testing.assert_close(large, torch.tensor(math.log(4)))


def test_gradient_reaches_the_local_views_alone():
    local, whole = (x.requires_grad_() for x in features(0))
    instance_contrast(local, whole, temperature=0.1, current=4).backward()
    assert local.grad.norm() > 0
    assert whole.grad is None


@pytest.mark.parametrize("current", [0, 7])
def test_the_batch_must_be_among_the_images(current):
    with pytest.raises(ValueError, match=rf"got current={current} and len\(local\)=6"):
        instance_contrast(*features(0), temperature=0.1, current=current)


def test_a_temperature_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="`temperature > 0` must hold, but got temperature=0"):
        instance_contrast(*features(0), temperature=0.0, current=1)
