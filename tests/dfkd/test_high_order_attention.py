"""The attention module (section 4.2): its routes, gates and parameters."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dfkd.config import parse_orders
from dfkd.models.high_order import HighOrderAttention


def maps(seed=0, channels=8):
    return torch.randn(2, channels, 3, 3, generator=torch.Generator().manual_seed(seed))


def size(module):
    return sum(p.numel() for p in module.parameters())


def test_three_orders_of_512_channels_have_589824_parameters():
    # (1 + 2 + 3 projections down and 3 up) of 512 * 128.
    assert size(HighOrderAttention(512, orders=(1, 2, 3), reduction=4)) == 589_824


@pytest.mark.parametrize("highest", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("reduction", [1, 2, 8])
def test_orders_1_to_r_have_the_documented_number_of_parameters(highest, reduction):
    attention = HighOrderAttention(16, orders=range(1, highest + 1), reduction=reduction)
    assert size(attention) == (highest * (highest + 1) // 2 + highest) * 16**2 // reduction


def test_a_subset_of_the_orders_has_their_routes_alone():
    # Orders 1 and 3: 4 projections down and 2 up, of 8 * 2 each.
    attention = HighOrderAttention(8, orders=(1, 3), reduction=4)
    assert size(attention) == 6 * 8 * 2
    assert attention(maps()).shape == (2, 8, 3, 3)


@pytest.mark.parametrize("text", ["1", "3", "6", "2+5", "1+2+3", "1+2+3+4+5+6"])
def test_attended_features_by_a_loop_over_pixels_orders_and_channels(text):
    attention = HighOrderAttention(4, orders=parse_orders(text), reduction=2)
    x, hidden = maps(channels=4), 2
    down = attention.factors.weight[..., 0, 0].tolist()
    up = attention.raise_channels.weight[..., 0, 0].tolist()
    expected = torch.zeros_like(x)
    for image, row, column in itertools.product(range(2), range(3), range(3)):
        pixel = x[image, :, row, column].tolist()
        gates = [0.0] * 4
        first = 0  # row of the first projection of this order
        for route, order in enumerate(attention.orders):
            code = []
            for unit in range(hidden):
                product = 1.0
                for factor in range(order):
                    weights = down[first + factor * hidden + unit]
                    product *= sum(w * value for w, value in zip(weights, pixel, strict=True))
                code.append(max(product, 0.0))
            first += order * hidden
            for channel in range(4):
                score = sum(w * value for w, value in zip(up[4 * route + channel], code, strict=True))
                gates[channel] += 1 / (1 + math.exp(-score)) / len(attention.orders)
        for channel in range(4):
            expected[image, channel, row, column] = gates[channel] * pixel[channel]
    torch.testing.assert_close(attention(x), expected)


@given(st.integers(0, 99), st.permutations([1, 2, 3, 4]))
def test_a_route_is_homogeneous_of_its_order_below_the_sigmoid(seed, orders):
    attention, x = HighOrderAttention(8, orders=orders, reduction=2), maps(seed)
    doubled, once = attention.scores(2 * x), attention.scores(x)
    for order, of_doubled, of_once in zip(orders, doubled, once, strict=True):
        torch.testing.assert_close(of_doubled, 2**order * of_once)


def test_first_order_scores_are_two_convolutions_with_a_relu_between():
    attention, x = HighOrderAttention(8, orders=(1,), reduction=4), maps()
    down, up = attention.factors.weight[..., 0, 0], attention.raise_channels.weight[..., 0, 0]
    expected = torch.einsum("oc,bchw->bohw", up, torch.einsum("oc,bchw->bohw", down, x).relu())
    torch.testing.assert_close(attention.scores(x)[0], expected)


@given(st.integers(0, 99))
def test_attention_lies_in_the_open_unit_interval_and_shrinks_the_features(seed):
    attention, x = HighOrderAttention(8, orders=(1, 2, 3), reduction=2), maps(seed)
    gate = attention.attention(x)
    assert ((gate > 0) & (gate < 1)).all()
    torch.testing.assert_close(attention(x), gate * x)


def test_routes_do_not_share_projections():
    attention, x = HighOrderAttention(8, orders=(1, 2), reduction=4), maps()
    down, up = attention.factors.weight[..., 0, 0], attention.raise_channels.weight[..., 0, 0]
    # Two hidden channels a projection: rows 0-1 of `down` are order 1's, 2-3 and 4-5 are order 2's factors;
    # rows 0-7 of `up` are order 1's, 8-15 order 2's.
    first, left, right = (torch.einsum("oc,bchw->bohw", down[i : i + 2], x) for i in (0, 2, 4))
    torch.testing.assert_close(attention.scores(x)[0], torch.einsum("oc,bchw->bohw", up[:8], first.relu()))
    torch.testing.assert_close(attention.scores(x)[1], torch.einsum("oc,bchw->bohw", up[8:], (left * right).relu()))


def test_attention_is_the_mean_over_the_orders():
    attention = HighOrderAttention(8, orders=(1, 2), reduction=2)
    nn.init.constant_(attention.raise_channels.weight[:8], 0.0)
    nn.init.constant_(attention.raise_channels.weight[8:], 1e3)
    nn.init.constant_(attention.factors.weight, 1.0)
    # Order 1 scores 0: sigmoid 1/2. Order 2 scores far above 0: sigmoid 1. The mean is 3/4.
    torch.testing.assert_close(attention.attention(torch.ones(1, 8, 1, 1)), torch.full((1, 8, 1, 1), 0.75))


def test_a_reduction_that_does_not_divide_the_channels_is_refused():
    with pytest.raises(ValueError, match="`reduction` must divide `channels`, but got channels=6, reduction=4"):
        HighOrderAttention(6, orders=(1,), reduction=4)


def test_one_sigmoid_after_the_sum_is_that_of_all_routes_scores():
    per_order = HighOrderAttention(8, orders=(1, 2), reduction=2)
    after_sum = HighOrderAttention(8, orders=(1, 2), reduction=2, activation="after_sum")
    after_sum.load_state_dict(per_order.state_dict())
    x = maps()
    first, second = per_order.scores(x)
    torch.testing.assert_close(after_sum(x), (first + second).sigmoid() * x)
    torch.testing.assert_close(per_order(x), (first.sigmoid() + second.sigmoid()) / 2 * x)
