"""L_BN, equation 3: make the synthetic batch's statistics match those that the teacher's batch norms remember."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class _BatchStatistics(torch.autograd.Function):
    """Per-channel mean and biased variance of (batch, channels, height, width), in float32.

    Written out because autograd's own backward of ``var_mean`` makes four full-size temporaries a layer: that was
    about half of a generator step's time on a CPU. The gradient is affine in x per channel, so one pass is enough.
    On a CPU the statistics come from batch norm's own kernel, which reads x once, in either memory order.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        if x.device.type == "cpu":
            scratch = x.new_zeros(2, x.shape[1], dtype=torch.float32)
            mean, variance = torch.batch_norm_update_stats(x, scratch[0], scratch[1], 0.0)
        else:
            variance, mean = torch.var_mean(x.float(), dim=(0, 2, 3), correction=0)
        ctx.save_for_backward(x, mean)
        return mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        grad_mean, grad_variance = gradients
        x, mean = ctx.saved_tensors
        count = x.numel() // x.shape[1]
        # d mean / dx = 1 / n and d variance / dx = 2 (x - mean) / n
        slope = 2 * grad_variance / count
        offset = grad_mean / count - slope * mean
        return torch.addcmul(offset.to(x.dtype).view(-1, 1, 1), x, slope.to(x.dtype).view(-1, 1, 1))


def batch_norm_statistics(layers: Sequence[nn.BatchNorm2d], inputs: Sequence[Tensor]) -> Tensor:
    """Return ``sum_l ||mean_l - mean(x_l)||_2 + ||var_l - var(x_l)||_2`` over the layers, a scalar.

    ``inputs[l]`` is what ``layers[l]`` was given, of shape (batch, channels, height, width). The norms are not squared
    and the variance is the biased one, as in the authors' code. Computed in float32, whatever the inputs' type.
    """
    if not layers or len(layers) != len(inputs):
        raise ValueError(f"One input per batch-norm layer must be given, but got {len(layers)=} and {len(inputs)=}.")
    distances = []
    for layer, x in zip(layers, inputs, strict=True):
        mean, variance = _BatchStatistics.apply(x)
        distances.append(torch.linalg.vector_norm(layer.running_mean - mean))
        distances.append(torch.linalg.vector_norm(layer.running_var - variance))
    return torch.stack(distances).sum()
