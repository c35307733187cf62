"""Mixed high-order attention of a feature map (section 4.2), and what a teacher's checkpoint holds of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor, nn


class HighOrderAttention(nn.Module):
    """A feature map times its mixed high-order attention, A_m x F (section 4.2, Figure 3).

    An order-r route multiplies r 1x1 projections to C / reduction channels, so that it sees r-way interactions between
    channels; ReLU, a 1x1 convolution back to C and a sigmoid make its attention map; A_m is the mean over the orders,
    or, with ``activation="after_sum"``, one sigmoid of the sum of what the sigmoids were applied to. After Chen et al.,
    ICCV 2019, "Mixed High-Order Attention Network", section 3.2. Without biases, so orders 1..R of C channels have
    (R(R+1)/2 + R) C^2 / reduction parameters.
    """

    def __init__(self, channels: int, *, orders: Sequence[int], reduction: int, activation: str = "per_order") -> None:
        super().__init__()
        self.activation = activation
        if channels % reduction:
            raise ValueError(f"`reduction` must divide `channels`, but got {channels=}, {reduction=}.")
        self.orders = tuple(orders)
        self.hidden = channels // reduction
        # One convolution makes all projections. The returns are kept as one weight and applied route by route: as one
        # grouped convolution, and a mean over its groups, they took twice as long on a CPU, for the same numbers.
        self.factors = nn.Conv2d(channels, self.hidden * sum(orders), 1, bias=False)
        self.raise_channels = nn.Conv2d(
            self.hidden * len(orders), channels * len(orders), 1, groups=len(orders), bias=False
        )

    def scores(
        self, features: Float[Tensor, "batch channels height width"]
    ) -> list[Float[Tensor, "batch channels height width"]]:
        """Return what the sigmoid is applied to, for each order: homogeneous in ``features``, of that degree."""
        projections = iter(self.factors(features).split(self.hidden, dim=1))
        products = [prod([next(projections) for _ in range(order)]) for order in self.orders]
        weights = self.raise_channels.weight.chunk(len(self.orders))
        return [nn.functional.conv2d(product.relu(), w) for product, w in zip(products, weights, strict=True)]

    def attention(
        self, features: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Return A_m, in (0, 1)."""
        scores = self.scores(features)
        if self.activation == "after_sum":
            return reduce(torch.add, scores).sigmoid()
        return reduce(torch.add, [score.sigmoid() for score in scores]) / len(self.orders)

    def forward(
        self, features: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Return A_m x F, of the same shape."""
        return self.attention(features) * features


def prod(factors: Sequence[Tensor]) -> Tensor:
    """Return the elementwise product of one or more tensors."""
    return reduce(torch.mul, factors)


@dataclass(frozen=True)
class StageAttention:
    """Trained attention of every stage, as a teacher's checkpoint holds it."""

    orders: str
    """As ``student_loss.mhad.orders``."""
    reduction: int
    """As ``student_loss.mhad.reduction``."""
    state: dict[str, Tensor]
    """Names start with the stage's index, from 0."""

    def of_stage(self, index: int) -> dict[str, Tensor]:
        """Return the weights of one stage's attention."""
        prefix = f"{index}."
        return {name.removeprefix(prefix): value for name, value in self.state.items() if name.startswith(prefix)}
