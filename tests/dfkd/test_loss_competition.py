"""The Jensen-Shannon divergence of student and teacher."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dfkd.losses import jensen_shannon


def logits(seed):
    return 3 * torch.randn(4, 5, generator=torch.Generator().manual_seed(seed))


def test_value_by_hand():
    # p = (3/4, 1/4), q = (1/4, 3/4), m = (1/2, 1/2):
    # KL(p, m) = 3/4 log(3/2) + 1/4 log(1/2) = KL(q, m), and their mean is the same.
    # KL(m, p), which the authors' code computes, is 1/2 log(2/3) + 1/2 log 2: another number.
    student, teacher = torch.tensor([[3.0, 1.0]]).log(), torch.tensor([[1.0, 3.0]]).log()
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    torch.testing.assert_close(jensen_shannon(student, teacher, temperature=1.0), torch.tensor(expected))


@given(st.integers(0, 99), st.floats(0.5, 5.0))
def test_lies_between_zero_and_log_two_and_is_symmetric(seed, temperature):
    one, other = logits(seed), logits(seed + 100)
    value = jensen_shannon(one, other, temperature=temperature)
    assert 0 < value < math.log(2)
    torch.testing.assert_close(jensen_shannon(other, one, temperature=temperature), value)
    assert jensen_shannon(one, one + 2, temperature=temperature).abs() < 1e-6


def test_reaches_its_ceiling_where_both_are_sure_of_different_classes():
    one, other = torch.tensor([[200.0, 0.0]]), torch.tensor([[0.0, 200.0]])
    torch.testing.assert_close(jensen_shannon(one, other, temperature=1.0), torch.tensor(math.log(2)))


def test_unlikely_classes_have_gradients_too():
    """With 100 classes hardly a probability is above 0.01, where the authors' code cuts."""
    student = torch.zeros(2, 100).requires_grad_()
    teacher = torch.randn(2, 100, generator=torch.Generator().manual_seed(0)).requires_grad_()
    jensen_shannon(student, teacher, temperature=3.0).backward()
    assert student.grad.all()
    assert teacher.grad.all()


def test_the_mean_is_over_the_batch():
    one, other = logits(0), logits(1)
    each = [jensen_shannon(one[i : i + 1], other[i : i + 1], temperature=3.0) for i in range(4)]
    torch.testing.assert_close(jensen_shannon(one, other, temperature=3.0), torch.stack(each).mean())


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_a_temperature_that_is_not_positive_is_refused(temperature):
    with pytest.raises(ValueError, match=rf"`temperature > 0` must hold, but got temperature={temperature}"):
        jensen_shannon(logits(0), logits(1), temperature=temperature)
