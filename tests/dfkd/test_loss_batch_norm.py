"""L_BN, equation 3."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dfkd.losses import RememberedStatistics, batch_norm_statistics


def layer(mean, var):
    norm = nn.BatchNorm2d(len(mean))
    norm.running_mean, norm.running_var = torch.tensor(mean), torch.tensor(var)
    return norm


def maps(seed, channels=3, shift=0.0):
    return torch.randn(4, channels, 5, 6, generator=torch.Generator().manual_seed(seed)) + shift


def plus_minus_one(channels=2):
    """Return two 1x1 images, +1 and -1: mean 0 and biased variance 1 in each channel (the unbiased one is 2)."""
    return torch.tensor([1.0, -1.0]).view(2, 1, 1, 1).expand(2, channels, 1, 1)


def test_value_by_hand():
    # Means differ by (3, 4): norm 5. Variances differ by (5, 12): norm 13. Squared, it would be 25 + 169.
    value = batch_norm_statistics([layer([3.0, 4.0], [6.0, 13.0])], [plus_minus_one()])
    torch.testing.assert_close(value, torch.tensor(18.0))


def test_layers_are_summed():
    # As above, and a layer whose mean is 2 and variance 3 off: 18 + 2 + 3.
    layers = [layer([3.0, 4.0], [6.0, 13.0]), layer([2.0], [4.0])]
    value = batch_norm_statistics(layers, [plus_minus_one(), plus_minus_one(1)])
    torch.testing.assert_close(value, torch.tensor(23.0))


def test_what_is_remembered_of_former_rounds_by_hand():
    remembered, layers = RememberedStatistics(0.9), [layer([0.0], [1.0])]
    first, second = plus_minus_one(1), 3 + 2 * plus_minus_one(1)  # means 0 and 3, variances 1 and 4

    def value(x):
        return batch_norm_statistics(layers, [x], remembered).item()

    assert value(first) == 0
    assert value(second) == 3 + 3  # nothing is remembered yet
    assert value(first) == 0
    remembered.update()  # 0 and 1
    for _ in range(2):  # 0.1 * 3 + 0.9 * 0 and 0.1 * 4 + 0.9 * 1, until a round ends
        assert value(second) == pytest.approx(0.3 + 0.3)
    remembered.update()  # 0.3 and 1.3
    assert value(second) == pytest.approx((0.3 + 0.9 * 0.3) + (0.4 + 0.9 * 1.3 - 1))


@given(st.integers(0, 99))
def test_is_zero_when_the_statistics_match(seed):
    x = maps(seed)
    norm = nn.BatchNorm2d(3, momentum=1.0)
    norm(x)  # with momentum 1 the running mean becomes the batch's, and the running variance its unbiased one
    norm.running_var *= (120 - 1) / 120  # 4 * 5 * 6 values a channel
    assert batch_norm_statistics([norm], [x]) < 1e-5


def test_gradient_is_finite_where_the_norm_has_its_kink():
    x = plus_minus_one().clone().requires_grad_()
    batch_norm_statistics([layer([0.0, 0.0], [1.0, 1.0])], [x]).backward()
    assert x.grad.isfinite().all()


def reference(layers, inputs):
    """Return the same with autograd's own backward of ``var_mean``."""
    total = 0
    for norm, x in zip(layers, inputs, strict=True):
        variance, mean = torch.var_mean(x.float(), dim=(0, 2, 3), correction=0)
        total = total + (norm.running_mean - mean).norm() + (norm.running_var - variance).norm()
    return total


@given(st.integers(0, 99), st.sampled_from([torch.float32, torch.bfloat16]), st.floats(-2, 2))
def test_value_and_gradient_equal_autograds(seed, dtype, shift):
    layers = [layer([0.5, -1.0, 0.0], [2.0, 0.5, 1.0])]
    ours, theirs = (maps(seed, shift=shift).to(dtype).requires_grad_() for _ in range(2))
    value, expected = batch_norm_statistics(layers, [ours]), reference(layers, [theirs])
    value.backward()
    expected.backward()
    torch.testing.assert_close(value, expected)
    assert ours.grad.dtype == dtype
    # bfloat16 keeps 8 bits: 1 / 256 of the largest term.
    atol = (1e-6 if dtype == torch.float32 else 2 / 256) * theirs.grad.abs().max().item() + 1e-9
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5 if dtype == torch.float32 else 2e-2, atol=atol)


def test_channels_last_inputs_give_the_same_gradient():
    grads = []
    for order in (torch.contiguous_format, torch.channels_last):
        x = maps(0).to(memory_format=order).requires_grad_()
        batch_norm_statistics([layer([0.5, -1.0, 0.0], [2.0, 0.5, 1.0])], [x]).backward()
        grads.append(x.grad)
    torch.testing.assert_close(*grads)


def test_statistics_are_computed_in_float32():
    x = maps(0).bfloat16()
    norm = layer([0.5, -1.0, 0.0], [2.0, 0.5, 1.0])
    torch.testing.assert_close(batch_norm_statistics([norm], [x]), batch_norm_statistics([norm], [x.float()]))


@pytest.mark.parametrize(("layers", "inputs"), [(0, 0), (1, 0), (1, 2)])
def test_each_layer_needs_its_input(layers, inputs):
    with pytest.raises(ValueError, match=rf"len\(layers\)={layers} and len\(inputs\)={inputs}"):
        batch_norm_statistics([layer([0.0], [1.0])] * layers, [plus_minus_one(1)] * inputs)
