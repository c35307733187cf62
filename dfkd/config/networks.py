"""Teacher and student, and how each is optimised."""

from dataclasses import dataclass

from dfkd.config.orders import REDUCTIONS, parse_orders
from dfkd.config.rules import TWO_IMAGES, require, require_choice, require_positive, require_weight

ARCHITECTURES = (
    *("resnet8", "resnet14", "resnet20", "resnet10_half", "resnet10", "resnet18", "resnet34", "resnet50"),
    *("wrn16_1", "wrn16_2", "wrn40_1", "wrn40_2", "mobilenetv2", "vgg11", "vgg16"),
)
"""Names of the networks; ``dfkd.models.MODELS`` builds them."""

PRETRAINED = {
    **{"resnet18": "resnet18", "resnet34": "resnet34", "resnet50": "resnet50"},
    **{"mobilenetv2": "mobilenet_v2", "vgg11": "vgg11_bn", "vgg16": "vgg16_bn"},
}
"""Those for which torchvision has ImageNet weights that fit, with the name that it gives them."""

INITIAL_WEIGHTS = ("random", "imagenet")

CROPS = ("square", "whole", "resized")


NORMALISATIONS = ("batch", "running")
"""What the batch norms of a network use that is not being trained: the batch's statistics or the remembered ones."""


@dataclass(frozen=True, kw_only=True)
class TeacherConfig:
    """The teacher and the recipe it is trained by. The paper states no recipe; this one is ours."""

    architecture: str = "resnet34"
    """Name of a network, one of ``ARCHITECTURES``."""
    init: str = "random"
    """What training starts from: ``random`` weights, or torchvision's ``imagenet`` weights with a new head. Below 112
    pixels a ResNet's first convolution is new too, and VGG, which has no hidden layers there, takes the convolutions
    alone. ``imagenet`` is for the networks in ``PRETRAINED``."""
    epochs: int = 60
    """Passes over the training images."""
    batch_size: int = 64
    """Images a step."""
    learning_rate: float = 0.1
    """Peak of the one-cycle schedule (SGD with Nesterov momentum 0.9)."""
    weight_decay: float = 5e-4
    """L2 penalty on the weights."""
    label_smoothing: float = 0.1
    """Share of the target that is spread over all classes."""
    crop: str = "square"
    """Where the random crops of training images lie: anywhere in the ``square`` at the picture's centre; anywhere in
    the ``whole`` picture (torchvision's ``RandomCrop``: the authors' for Aircraft); or ``resized``: a part of the whole
    picture of another size and shape, stretched to ``data.image_size`` (its ``RandomResizedCrop``: the authors' for
    Cars and CUB). Students on real images are shown the same."""
    crop_padding: int = 0
    """Pixels of reflected border added on each side before the random crop, which ``resized`` has none of."""
    attention: str = "none"
    """Orders, such as ``1+2+3``, of an attention that is trained on every stage with the real images, once the teacher
    is trained, for ``student_loss.mhad.attention = "teacher"``; or ``none``."""
    attention_reduction: int = 4
    """Of that attention, as ``student_loss.mhad.reduction``."""
    attention_epochs: int = 10
    """Passes over the training images for that attention."""
    seed: int = 0
    """Of the initial weights, the order of the images and the augmentation."""

    def __post_init__(self) -> None:
        require_choice("teacher.architecture", self.architecture, ARCHITECTURES)
        require_choice("teacher.init", self.init, INITIAL_WEIGHTS)
        require(
            self.init == "random" or self.architecture in PRETRAINED,
            f"`random` for a network without ImageNet weights, such as {self.architecture!r} "
            f"(there are some for {', '.join(PRETRAINED)})",
            "teacher.init",
            self.init,
        )
        if self.attention != "none":
            parse_orders(self.attention, name="teacher.attention")
        require(
            self.attention_reduction in REDUCTIONS,
            f"one of {', '.join(map(str, REDUCTIONS))}",
            "teacher.attention_reduction",
            self.attention_reduction,
        )
        for name in ("epochs", "attention_epochs", "learning_rate"):
            require_positive(f"teacher.{name}", getattr(self, name))
        require(self.batch_size >= 2, TWO_IMAGES, "teacher.batch_size", self.batch_size)
        require_weight("teacher.weight_decay", self.weight_decay)
        require(0 <= self.label_smoothing < 1, "in [0, 1)", "teacher.label_smoothing", self.label_smoothing)
        require_choice("teacher.crop", self.crop, CROPS)
        require(self.crop_padding >= 0, "an integer >= 0", "teacher.crop_padding", self.crop_padding)


@dataclass(frozen=True, kw_only=True)
class StudentConfig:
    """The student and its optimiser: SGD with a cosine schedule (section 5.1)."""

    architecture: str = "resnet18"
    """Name of a network, one of ``ARCHITECTURES``."""
    learning_rate: float = 1e-2
    """At the first step; falls to zero along half a cosine over all student steps."""
    momentum: float = 0.9
    """Of SGD."""
    weight_decay: float = 5e-4
    """L2 penalty on the weights."""
    gradient_clip_norm: float = 0.0
    """Greatest Euclidean norm of a step's gradient, over the student and the modules trained with it: a longer one is
    shortened to it. 0 clips nothing. The paper mentions none."""
    normalisation_when_frozen: str = "batch"
    """In the generator's phase the student's batch norms use the statistics of the ``batch``, without remembering them,
    or those of the ``running`` mean and variance. Not stated in the paper."""

    def __post_init__(self) -> None:
        require_choice("student.architecture", self.architecture, ARCHITECTURES)
        require_choice("student.normalisation_when_frozen", self.normalisation_when_frozen, NORMALISATIONS)
        require_positive("student.learning_rate", self.learning_rate)
        require(0 <= self.momentum < 1, "in [0, 1)", "student.momentum", self.momentum)
        require_weight("student.weight_decay", self.weight_decay)
        require_weight("student.gradient_clip_norm", self.gradient_clip_norm)
