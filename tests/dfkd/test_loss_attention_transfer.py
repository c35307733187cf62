"""Spatial attention transfer by hand, and of stages that do not correspond."""

import pytest
import torch

from dfkd.losses import attention_transfer


def test_value_by_hand():
    # Two positions, two channels. Mean squares: teacher (9, 16) / 2, scaled to length 1: (9, 16) / sqrt(337);
    # student (1, 0) / 2: (1, 0). The mean of the squared differences over both positions:
    teacher = torch.tensor([3.0, 4.0, 0.0, 0.0]).view(1, 2, 1, 2)
    student = torch.tensor([0.0, 0.0, 1.0, 0.0]).view(1, 2, 1, 2)
    expected = ((9 / 337**0.5 - 1) ** 2 + (16 / 337**0.5) ** 2) / 2
    assert attention_transfer([teacher], [student]).item() == pytest.approx(expected)
    # Stages are summed.
    assert attention_transfer([teacher, teacher], [student, student]).item() == pytest.approx(2 * expected)


def test_size_and_sign_of_what_responds_do_not_matter():
    maps = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    assert attention_transfer([maps], [-7 * maps]).item() == pytest.approx(0, abs=1e-12)


def test_stages_are_paired_from_the_last_and_pooled_to_the_smaller():
    fine = torch.arange(16.0).view(1, 1, 4, 4).sqrt()
    # Squares 0 to 15, averaged over blocks of 2 x 2: 2.5, 4.5, 10.5, 12.5.
    coarse = torch.tensor([2.5, 4.5, 10.5, 12.5]).view(1, 1, 2, 2).sqrt()
    first = torch.randn(1, 8, 8, 8)
    assert attention_transfer([first, fine], [coarse]).item() == pytest.approx(0, abs=1e-12)


def test_a_map_of_zeros_gives_a_finite_gradient():
    student = torch.zeros(1, 2, 2, 2, requires_grad=True)
    attention_transfer([torch.ones(1, 3, 2, 2)], [student]).backward()
    assert torch.isfinite(student.grad).all()


def test_no_stages_are_refused():
    with pytest.raises(ValueError, match="must have stages"):
        attention_transfer([], [torch.ones(1, 1, 1, 1)])
