"""What stands beside the student in training and is dropped afterwards: high-order attention, adapters, projection."""

from collections.abc import Sequence
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dfkd.config import MHADConfig, RunConfig, parse_orders
from dfkd.errors import ConfigError
from dfkd.losses import attention_distance, semantic_contrast
from dfkd.models.classifier import Classifier
from dfkd.models.stages import compared_stages
from dfkd.models.taps import Features
from dfkd.randomness import stream


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
        # One convolution for all projections and a grouped one for all returns: a third of the calls, the same numbers.
        self.factors = nn.Conv2d(channels, self.hidden * sum(orders), 1, bias=False)
        self.raise_channels = nn.Conv2d(
            self.hidden * len(orders), channels * len(orders), 1, groups=len(orders), bias=False
        )

    def scores(
        self, features: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch routes channels height width"]:
        """Return what the sigmoid is applied to: route by route homogeneous in ``features``, of degree its order."""
        projections = iter(self.factors(features).split(self.hidden, dim=1))
        products = [prod([next(projections) for _ in range(order)]) for order in self.orders]
        return self.raise_channels(torch.relu(torch.cat(products, dim=1))).unflatten(1, (len(self.orders), -1))

    def attention(
        self, features: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Return A_m, in (0, 1)."""
        if self.activation == "after_sum":
            return self.scores(features).sum(dim=1).sigmoid()
        return self.scores(features).sigmoid().mean(dim=1)

    def forward(
        self, features: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Return A_m x F, of the same shape."""
        return self.attention(features) * features


def prod(factors: Sequence[Tensor]) -> Tensor:
    """Return the elementwise product of one or more tensors."""
    return reduce(torch.mul, factors)


class AttentionDistillation(nn.Module):
    """L_MHAD of a batch: an adapter to the teacher's channels and attention for both networks, at each place.

    The places are stages, where the adapter is a 1x1 convolution; or, with none given, the penultimate feature seen as
    a map of 1x1, where it is an MLP with two hidden layers, as in the paper for WRN40-2 and MobileNetV2. The teacher's
    side has no adapter: two that are trained could agree on a constant. Both networks have one attention, frozen or
    trained with the student, or one each (``student_loss.mhad.attention``).
    """

    def __init__(self, config: RunConfig, *, teacher: Classifier, student: Classifier, stages: tuple[int, ...]) -> None:
        super().__init__()
        settings = config.student_loss.mhad
        self.trains_teacher_side = settings.attention in ("shared", "both")
        self.compares_attention = settings.compared == "attention_maps"
        self.stages = stages
        if stages:
            channels = [teacher.stage_channels[i] for i in stages]
            self.adapters = nn.ModuleList(
                nn.Conv2d(student.stage_channels[i], after, 1) for i, after in zip(stages, channels, strict=True)
            )
        else:
            channels = [teacher.feature_size]
            self.adapters = nn.ModuleList([_penultimate_adapter(student.feature_size, settings.hidden_size, *channels)])
        self.attentions = _attentions(settings, channels).requires_grad_(self.trains_teacher_side)
        has_own = settings.attention in ("student", "both")
        self.student_attentions = _attentions(settings, channels) if has_own else None

    def _maps(self, features: Features) -> list[Tensor]:
        """Return the maps to compare, each of shape (batch, channels, height, width)."""
        return [features.stages[i] for i in self.stages] or [features.penultimate[:, :, None, None]]

    def _attended(self, attentions: nn.ModuleList, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return what is compared of each map."""
        modules = [module for module in attentions if isinstance(module, HighOrderAttention)]
        return [
            module.attention(x) if self.compares_attention else module(x)
            for module, x in zip(modules, maps, strict=True)
        ]

    def forward(self, teacher: Features, student: Features) -> Tensor:
        """Return the scalar distance between both networks' attended maps."""
        with torch.set_grad_enabled(self.trains_teacher_side):
            teacher_maps = self._attended(self.attentions, self._maps(teacher))
        adapted = [adapt(x) for adapt, x in zip(self.adapters, self._maps(student), strict=True)]
        return attention_distance(teacher_maps, self._attended(self.student_attentions or self.attentions, adapted))


def _attentions(settings: MHADConfig, channels: Sequence[int]) -> nn.ModuleList:
    return nn.ModuleList(
        HighOrderAttention(
            each, orders=parse_orders(settings.orders), reduction=settings.reduction, activation=settings.activation
        )
        for each in channels
    )


def _penultimate_adapter(before: int, hidden: int, after: int) -> nn.Sequential:
    """Return the MLP from (batch, before, 1, 1) to (batch, after, 1, 1), with two hidden layers."""
    return nn.Sequential(
        nn.Flatten(),
        *_hidden(before, hidden),
        *_hidden(hidden, hidden),
        nn.Linear(hidden, after),
        nn.Unflatten(1, (after, 1, 1)),
    )


class ContrastiveProjection(nn.Module):
    """L_SFCL of a batch: one projection for both networks' penultimate features (equation 8), and the contrast.

    The projection has two hidden linear layers, each with batch norm: without it the projection collapses to a constant
    as soon as the learning rate is raised (docs/departures.md). Where the student's feature is of another length than
    the teacher's, a linear layer first maps it to the teacher's length.
    """

    def __init__(self, config: RunConfig, *, teacher: Classifier, student: Classifier) -> None:
        super().__init__()
        settings = config.student_loss.sfcl
        self.temperature = settings.temperature
        same = teacher.feature_size == student.feature_size
        self.adapter = nn.Identity() if same else nn.Linear(student.feature_size, teacher.feature_size)
        self.project = nn.Sequential(
            *_hidden(teacher.feature_size, settings.hidden_size),
            *_hidden(settings.hidden_size, settings.hidden_size),
            nn.Linear(settings.hidden_size, settings.projection_size),
        )

    def forward(self, teacher: Features, student: Features) -> Tensor:
        """Return the scalar contrastive loss."""
        return semantic_contrast(
            self.project(teacher.penultimate),
            self.project(self.adapter(student.penultimate)),
            temperature=self.temperature,
        )


def _hidden(before: int, after: int) -> tuple[nn.Module, ...]:
    return nn.Linear(before, after, bias=False), nn.BatchNorm1d(after), nn.ReLU()


def build_auxiliary(config: RunConfig, *, teacher: Classifier, student: Classifier) -> nn.ModuleDict:
    """Return the modules of the terms that are switched on, by the term's name: ``mhad``, ``sfcl``, both or neither.

    Raises:
        ConfigError: MHAD is on, but the networks' stages do not fit `student_loss.mhad.stages`, or the teacher's
            channels cannot be divided by its reduction.
    """
    modules = nn.ModuleDict()
    if config.student_loss.mhad.weight > 0:
        stages = compared_stages(config, teacher=teacher, student=student)
        _check_reduction(config, teacher, stages)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream(config.seed, "mhad.weights"))
            modules["mhad"] = AttentionDistillation(config, teacher=teacher, student=student, stages=stages)
    if config.student_loss.sfcl.weight > 0:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream(config.seed, "sfcl.weights"))
            modules["sfcl"] = ContrastiveProjection(config, teacher=teacher, student=student)
    return modules


def _check_reduction(config: RunConfig, teacher: Classifier, stages: tuple[int, ...]) -> None:
    """Raise ConfigError unless the reduction divides the teacher's channels at these stages, or its feature."""
    reduction = config.student_loss.mhad.reduction
    for channels in [teacher.stage_channels[i] for i in stages] or [teacher.feature_size]:
        if channels % reduction:
            raise ConfigError(
                "`student_loss.mhad.reduction` must divide the teacher's channels where attention is compared, but it "
                f"is {reduction}, and {config.teacher.architecture} has {channels}. Set "
                "`student_loss.mhad.reduction=8`, which divides those of every network."
            )
