"""Whether the networks of a grid's rows fit together: known before anything runs, with or without a teacher."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dfkd.config import RunConfig, parse_orders
from dfkd.overrides import flatten
from harness.inputs import FoundTeacher
from harness.shape import shape_of

if TYPE_CHECKING:
    from dfkd.models import Classifier
    from dfkd.models.high_order import StageAttention


def check_networks(rows: Sequence[RunConfig], found: FoundTeacher | None, *, classes: int) -> None:
    """Build each row's student once, on the CPU, so that what does not fit is known before anything runs.

    The ``rows`` share a teacher; if it is not trained yet, one with its initial weights stands in for it.

    Raises:
        ConfigError: two networks do not fit together.
    """
    import torch  # these here, because they take seconds to import

    from dfkd.models import build_classifier
    from dfkd.models.auxiliary import build_auxiliary

    size = rows[0].data.image_size
    shapes = {shape_of(flatten(config)): config for config in rows}  # alike in everything that counts
    with torch.no_grad():
        if found:
            teacher = found.build()
            classifier, attention = teacher.classifier, teacher.attention
        else:
            made = rows[0].teacher
            classifier = build_classifier(made.architecture, classes=classes, image_size=size, seed=0, role="teacher")
            attention = _initial_attention(rows[0], classifier)
        for config in shapes.values():
            student = build_classifier(
                config.student.architecture, classes=classes, image_size=size, seed=0, role="student"
            )
            if not config.learns_from_real_images:
                build_auxiliary(config, teacher=classifier, student=student, pretrained=attention)


def _initial_attention(config: RunConfig, classifier: "Classifier") -> "StageAttention | None":
    """Return the attention that is trained with a teacher, at initial weights; None if none is to be."""
    from torch import nn

    from dfkd.models.high_order import HighOrderAttention, StageAttention

    settings = config.teacher
    if settings.attention == "none":
        return None
    orders, reduction = parse_orders(settings.attention), settings.attention_reduction
    stages = nn.ModuleList(
        HighOrderAttention(channels, orders=orders, reduction=reduction) for channels in classifier.stage_channels
    )
    return StageAttention(settings.attention, reduction, stages.state_dict())
