"""L_MHAD, equation 7."""

import pytest
import torch

from dfkd.losses import attention_distance


def test_value_by_hand():
    # Stage 1: two of four values differ by 2: 8 / 4. Stage 2: one value differs by 3: 9. Summed over the stages.
    student = [torch.tensor([2.0, 0.0, -2.0, 0.0]).view(1, 2, 1, 2), torch.full((1, 1, 1, 1), 3.0)]
    teacher = [torch.zeros_like(x) for x in student]
    torch.testing.assert_close(attention_distance(teacher, student), torch.tensor(11.0))


def test_is_a_mean_over_batch_channels_and_pixels():
    # Repeating a map along any axis leaves its mean.
    student = torch.tensor([1.0, 3.0]).view(1, 1, 1, 2)
    tiled = student.repeat(3, 4, 5, 6)
    one, other = (attention_distance([torch.zeros_like(x)], [x]) for x in (student, tiled))
    torch.testing.assert_close(one, other)


def test_is_symmetric_and_zero_at_equality():
    a, b = (torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    torch.testing.assert_close(attention_distance([a], [b]), attention_distance([b], [a]))
    assert attention_distance([a], [a]) == 0


def test_gradient_reaches_both_arguments():
    teacher, student = torch.ones(2, 1, 2, 2, requires_grad=True), torch.zeros(2, 1, 2, 2, requires_grad=True)
    attention_distance([teacher], [student]).backward()
    # d/ds of the mean of (s - t)^2 over 8 values is 2 (s - t) / 8.
    torch.testing.assert_close(student.grad, torch.full_like(student, -0.25))
    torch.testing.assert_close(teacher.grad, torch.full_like(teacher, 0.25))


def test_is_computed_in_float32():
    # In bfloat16 the difference of 256 and 1/3 would round to 256.
    teacher, student = torch.full((1, 1, 1, 1), 1 / 3).bfloat16(), torch.full((1, 1, 1, 1), 256.0).bfloat16()
    expected = (student.float() - teacher.float()).square().squeeze()
    torch.testing.assert_close(attention_distance([teacher], [student]), expected, rtol=0, atol=0)


@pytest.mark.parametrize(("teacher", "student"), [(0, 0), (2, 1)])
def test_each_stage_needs_both_maps(teacher, student):
    x = torch.zeros(1, 1, 1, 1)
    with pytest.raises(ValueError, match=rf"len\(teacher_maps\)={teacher} and len\(student_maps\)={student}"):
        attention_distance([x] * teacher, [x] * student)
