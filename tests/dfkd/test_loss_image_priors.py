"""Total variation and the norm of pixels."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from dfkd.losses import pixel_norm, total_variation


def images(seed, batch=2):
    return torch.randn(batch, 3, 5, 6, generator=torch.Generator().manual_seed(seed))


def test_total_variation_by_hand():
    # One channel, 2 x 2: rows (0, 3), (4, 0). Right: -3, 4, norm 5. Down: -4, 3, norm 5.
    # Diagonals: 4 - 3 = 1, norm 1; 0 - 0 = 0. Sum 11.
    image = torch.tensor([[0.0, 3.0], [4.0, 0.0]]).view(1, 1, 2, 2)
    torch.testing.assert_close(total_variation(image), torch.tensor(11.0))


def test_a_norm_is_over_the_whole_batch():
    # Two copies of the above: each norm is sqrt(2) times as long.
    image = torch.tensor([[0.0, 3.0], [4.0, 0.0]]).view(1, 1, 2, 2)
    torch.testing.assert_close(total_variation(image.expand(2, 1, 2, 2)), torch.tensor(11 * math.sqrt(2)))


def test_one_colour_has_no_variation_and_no_gradient():
    flat = torch.full((2, 3, 4, 4), 0.7).requires_grad_()
    value = total_variation(flat)
    value.backward()
    assert value == 0
    assert not flat.grad.any()


@given(st.integers(0, 99))
def test_neither_sees_a_mirror(seed):
    x = images(seed)
    for loss in (total_variation, pixel_norm):
        torch.testing.assert_close(loss(x.flip(-1)), loss(x))


def test_pixel_norm_by_hand():
    # Norms 5 and 13: mean 9. The norm of the whole batch would be sqrt(25 + 169).
    batch = torch.tensor([[3.0, 4.0], [5.0, 12.0]]).view(2, 1, 1, 2)
    torch.testing.assert_close(pixel_norm(batch), torch.tensor(9.0))
