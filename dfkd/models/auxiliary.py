"""What stands beside the student in training and is dropped afterwards: attention, adapters, projection."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dfkd.config import MHADConfig, RunConfig, parse_orders
from dfkd.errors import ConfigError
from dfkd.losses import attention_distance, semantic_contrast
from dfkd.models.classifier import Classifier
from dfkd.models.high_order import HighOrderAttention, StageAttention
from dfkd.models.stages import compared_stages
from dfkd.models.taps import Features
from dfkd.randomness import stream


class AttentionDistillation(nn.Module):
    """L_MHAD of a batch: an adapter to the teacher's channels and attention for both networks, at each place.

    The places are stages, where the adapter is a 1x1 convolution; or, with none given, the penultimate feature seen as
    a map of 1x1, where it is an MLP with two hidden layers, as in the paper for WRN40-2 and MobileNetV2. The teacher's
    side has no adapter: two that are trained could agree on a constant. Both networks have one attention, frozen or
    trained with the student, or one each (``student_loss.mhad.attention``).
    """

    def __init__(
        self,
        config: RunConfig,
        *,
        teacher: Classifier,
        student: Classifier,
        stages: tuple[int, ...],
        pretrained: StageAttention | None,
    ) -> None:
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
        if settings.attention == "teacher":
            assert pretrained is not None
            for module, index in zip(self.attentions, stages, strict=True):
                module.load_state_dict(pretrained.of_stage(index))
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


def build_auxiliary(
    config: RunConfig, *, teacher: Classifier, student: Classifier, pretrained: StageAttention | None = None
) -> nn.ModuleDict:
    """Return the modules of the terms that are switched on, by the term's name: ``mhad``, ``sfcl``, both or neither.

    ``pretrained`` is the attention that was trained with the teacher, if it has one.

    Raises:
        ConfigError: MHAD is on, but the networks' stages do not fit `student_loss.mhad.stages`, the teacher's channels
            cannot be divided by its reduction, or the teacher has not the attention that is asked for.
    """
    modules = nn.ModuleDict()
    if config.student_loss.mhad.weight > 0:
        stages = compared_stages(config, teacher=teacher, student=student)
        _check_reduction(config, teacher, stages)
        if config.student_loss.mhad.attention == "teacher":
            _check_pretrained(config, pretrained, stages)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream(config.seed, "mhad.weights"))
            modules["mhad"] = AttentionDistillation(
                config, teacher=teacher, student=student, stages=stages, pretrained=pretrained
            )
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


def _check_pretrained(config: RunConfig, pretrained: StageAttention | None, stages: tuple[int, ...]) -> None:
    """Raise ConfigError unless the teacher's own attention is what the configuration says."""
    settings, rule = config.student_loss.mhad, "With `student_loss.mhad.attention=teacher`"
    if pretrained is None:
        raise ConfigError(
            f"{rule} the teacher must have been trained with an attention, but this one was not. Give "
            f"`--set teacher.attention={settings.orders}`, to `dfkd teacher` first and then here."
        )
    if not stages:
        raise ConfigError(
            f"{rule} attention must be compared at stages, where the teacher's was trained, but it would be at the "
            "penultimate feature. Choose a `student.architecture` whose stages correspond, or another attention."
        )
    for key, wanted, found in (
        ("student_loss.mhad.orders", settings.orders, pretrained.orders),
        ("student_loss.mhad.reduction", settings.reduction, pretrained.reduction),
        ("student_loss.mhad.activation", settings.activation, "per_order"),
    ):
        if wanted != found:
            raise ConfigError(
                f"{rule}, `{key}` must be that of the teacher's attention, {found}, but it is {wanted}. Set it so, or "
                "train a teacher with another `teacher.attention`."
            )
