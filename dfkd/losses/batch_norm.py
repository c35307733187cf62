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


class RememberedStatistics:
    """Moving averages of the batches' statistics at each layer, over rounds of synthesis.

    ``momentum`` is what the averages keep of themselves at an ``update``, and what they count in the statistics that
    are matched. After Fast-Datafree (Fang et al., AAAI 2022), as the authors' code has it.
    """

    def __init__(self, momentum: float) -> None:
        self.momentum = momentum
        self._average: dict[int, tuple[Tensor, Tensor]] = {}
        self._last: dict[int, tuple[Tensor, Tensor]] = {}

    def mixed(self, layer: int, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """Return a batch's statistics at ``layer``, mixed with the averages if there are some, and note them."""
        self._last[layer] = mean.detach(), variance.detach()
        if layer not in self._average:
            return mean, variance
        old_mean, old_variance = self._average[layer]
        share = 1 - self.momentum
        return share * mean + self.momentum * old_mean, share * variance + self.momentum * old_variance

    def update(self) -> None:
        """Take in the statistics of the batch that was matched last; the first ones become the averages."""
        self._average = {layer: self.mixed(layer, *statistics) for layer, statistics in list(self._last.items())}

    def state_dict(self) -> dict[str, Any]:
        """Return the averages, and what the next update takes in."""
        return {"average": self._average, "last": self._last}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Return to a state that ``state_dict`` gave, on ``device``."""
        self._average, self._last = (
            {layer: (mean.to(device), variance.to(device)) for layer, (mean, variance) in state[name].items()}
            for name in ("average", "last")
        )


def batch_norm_statistics(
    layers: Sequence[nn.BatchNorm2d], inputs: Sequence[Tensor], remembered: RememberedStatistics | None = None
) -> Tensor:
    """Return ``sum_l ||mean_l - mean(x_l)||_2 + ||var_l - var(x_l)||_2`` over the layers, a scalar.

    ``inputs[l]`` is what ``layers[l]`` was given, of shape (batch, channels, height, width). The norms are not squared
    and the variance is the biased one, as in the authors' code. Computed in float32, whatever the inputs' type. What is
    ``remembered`` of former batches counts among the batch's statistics.
    """
    if not layers or len(layers) != len(inputs):
        raise ValueError(f"One input per batch-norm layer must be given, but got {len(layers)=} and {len(inputs)=}.")
    distances = []
    for number, (layer, x) in enumerate(zip(layers, inputs, strict=True)):
        mean, variance = _BatchStatistics.apply(x)
        if remembered is not None:
            mean, variance = remembered.mixed(number, mean, variance)
        distances.append(torch.linalg.vector_norm(layer.running_mean - mean))
        distances.append(torch.linalg.vector_norm(layer.running_var - variance))
    return torch.stack(distances).sum()
