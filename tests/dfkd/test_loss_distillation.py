"""L_KD, equation 2."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dfkd.losses import soft_target_kl


def logits(seed, batch=4, classes=5):
    return torch.randn(batch, classes, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_value_by_hand(temperature):
    # At T the teacher is (3/4, 1/4) and the student (1/2, 1/2): T^2 (3/4 log 3/2 + 1/4 log 1/2).
    teacher = temperature * torch.tensor([[3.0, 1.0]]).log()
    expected = temperature**2 * (0.75 * torch.tensor(1.5).log() + 0.25 * torch.tensor(0.5).log())
    torch.testing.assert_close(soft_target_kl(torch.zeros(1, 2), teacher, temperature=temperature), expected)


def test_reverse_exchanges_teacher_and_student():
    one, other = logits(0), logits(1)
    found = soft_target_kl(one, other, temperature=2.0, direction="reverse")
    torch.testing.assert_close(found, soft_target_kl(other, one, temperature=2.0))
    assert not torch.isclose(found, soft_target_kl(one, other, temperature=2.0))


def test_is_the_mean_over_the_batch_and_the_sum_over_the_classes():
    one, other = logits(0), logits(1)
    rows = [soft_target_kl(one[i : i + 1], other[i : i + 1], temperature=2.0) for i in range(len(one))]
    torch.testing.assert_close(soft_target_kl(one, other, temperature=2.0), torch.stack(rows).mean())


@given(st.integers(0, 99), st.floats(0.5, 20.0), st.floats(-5, 5))
def test_is_zero_for_logits_that_differ_by_a_constant(seed, temperature, constant):
    x = logits(seed)
    # T^2 <= 400 magnifies float32's 1e-7.
    assert soft_target_kl(x, x + constant, temperature=temperature).abs() < 1e-4


@given(st.integers(0, 99), st.floats(0.5, 20.0))
def test_is_never_negative(seed, temperature):
    assert soft_target_kl(logits(seed), logits(seed + 1), temperature=temperature) > 0


def test_gradient_keeps_its_scale_when_hot():
    def gradient_norm(temperature):
        student = logits(0).requires_grad_()
        soft_target_kl(student, logits(1), temperature=temperature).backward()
        return student.grad.norm()

    assert 0.9 < gradient_norm(50.0) / gradient_norm(20.0) < 1.1


def test_gradient_reaches_both_arguments():
    student, teacher = logits(0).requires_grad_(), logits(1).requires_grad_()
    soft_target_kl(student, teacher, temperature=1.0).backward()
    assert student.grad.norm() > 0
    assert teacher.grad.norm() > 0


def test_gradient_of_the_student_by_hand():
    # d/ds_j of T^2 KL = T (softmax(s / T) - softmax(t / T))_j: at T = 2, 2 ((1/2, 1/2) - (3/4, 1/4)).
    student = torch.zeros(1, 2, requires_grad=True)
    soft_target_kl(student, 2 * torch.tensor([[3.0, 1.0]]).log(), temperature=2.0).backward()
    torch.testing.assert_close(student.grad, torch.tensor([[-0.5, 0.5]]))


def test_the_teacher_is_the_reference_distribution():
    # KL(t || s) of t = (3/4, 1/4), s = (1/2, 1/2) is 0.1308; KL(s || t) is 0.1438.
    uniform, skewed = torch.zeros(1, 2), torch.tensor([[3.0, 1.0]]).log()
    there, back = (soft_target_kl(a, b, temperature=1.0) for a, b in ((uniform, skewed), (skewed, uniform)))
    assert there < back


def test_is_computed_in_float32():
    one, other = logits(0).bfloat16(), logits(1).bfloat16()
    expected = soft_target_kl(one.float(), other.float(), temperature=3.0)
    torch.testing.assert_close(soft_target_kl(one, other, temperature=3.0), expected, rtol=0, atol=0)


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_a_temperature_that_is_not_positive_is_refused(temperature):
    with pytest.raises(ValueError, match=rf"`temperature > 0` must hold, but got temperature={temperature}"):
        soft_target_kl(logits(0), logits(1), temperature=temperature)
