"""What a run computes, as one frozen tree of dataclasses. Where it runs (device, paths, workers) is not in here.

Defaults are the paper's (Shao et al., ICCV 2023, "Data-free Knowledge Distillation for Fine-grained Visual
Categorization", section 5.1); what the paper leaves open has our choice, with the reason in docs/departures.md.
"""

import math
from dataclasses import dataclass, field

from dfkd.errors import ConfigError, nearest


def _require(holds: bool, rule: str, name: str, value: object) -> None:
    if not holds:
        raise ConfigError(f"`{name}` must be {rule}, but it is {value!r}.")


def _require_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"`{name}` must be one of the known names, but it is {value!r}. {nearest(value, choices)}")


def _require_weight(name: str, value: float) -> None:
    _require(math.isfinite(value) and value >= 0, "a finite number >= 0 (0 switches the term off)", name, value)


def _require_positive(name: str, value: float) -> None:
    _require(math.isfinite(value) and value > 0, "a finite number > 0", name, value)


_TWO_IMAGES = "an integer >= 2 (batch norm needs two images)"

DATASETS = (
    "cub200",
    "stanford_cars",
    "aircraft_variant",
    "aircraft_family",
    "aircraft_manufacturer",
    "flowers102",
    "pets",
    "cifar10",
    "cifar100",
    "imagefolder",
    "digits",
)
"""Names of the data sets; ``dfkd.data.DATASETS`` says what they are."""

ARCHITECTURES = (
    *("resnet8", "resnet14", "resnet20", "resnet10_half", "resnet10", "resnet18", "resnet34", "resnet50"),
    *("wrn16_1", "wrn16_2", "wrn40_1", "wrn40_2", "mobilenetv2", "vgg11", "vgg16"),
)
"""Names of the networks; ``dfkd.models.MODELS`` builds them."""

PRETRAINED = tuple(name for name in ("resnet18", "resnet34", "resnet50") if name in ARCHITECTURES)
"""Those for which torchvision has ImageNet weights that fit."""

INITIAL_WEIGHTS = ("random", "imagenet")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which images the teacher was trained on, and on which the student is tested."""

    dataset: str = "cub200"
    """Name of a data set, one of ``DATASETS``."""
    image_size: int = 224
    """Height and width in pixels of what the networks see and the generator makes. A multiple of 16."""
    classes: str = "all"
    """``all``, ``first:N``, or a comma-separated list of class numbers or names, in the data set's own numbering."""
    crop_fraction: float = 0.875
    """Share of the resized shorter side that the centre crop keeps: 224 / 256 in the paper's code."""
    validation_fraction: float = 0.0
    """Share of each class's training images that the teacher does not see, kept to choose settings on. Always the same
    images, whatever the seeds are; 0 keeps none."""

    def __post_init__(self) -> None:
        _require_choice("data.dataset", self.dataset, DATASETS)
        _require(
            self.image_size > 0 and self.image_size % 16 == 0,
            "a positive multiple of 16 (the generator doubles its seed four times); "
            f"the nearest is {max(16, round(self.image_size / 16) * 16)}",
            "data.image_size",
            self.image_size,
        )
        _require(0 < self.crop_fraction <= 1, "in (0, 1]", "data.crop_fraction", self.crop_fraction)
        _require(0 <= self.validation_fraction < 1, "in [0, 1)", "data.validation_fraction", self.validation_fraction)
        parse_classes(self.classes)


def parse_classes(text: str) -> int | tuple[str, ...] | None:
    """Return N for ``first:N``, the names or numbers of a list, or None for ``all``. At least two classes."""
    rule = "`all`, `first:N` with N >= 2, or a comma-separated list of two or more class numbers or names"
    if text == "all":
        return None
    if text.startswith("first:"):
        number = text.removeprefix("first:")
        _require(number.isdecimal() and int(number) >= 2 and number[0] != "0", rule, "data.classes", text)
        return int(number)
    items = tuple(text.split(","))
    hint = f" (`first:{text}` takes the first {text})" if text.isdecimal() else ""
    _require(len(items) >= 2 and all(items), rule + hint, "data.classes", text)
    _require(
        all(item == item.strip() for item in items), "a list without blanks around the commas", "data.classes", text
    )
    _require(len(set(items)) == len(items), "a list without repetition", "data.classes", text)
    return items


@dataclass(frozen=True, kw_only=True)
class TeacherConfig:
    """The teacher and the recipe it is trained by. The paper states no recipe; this one is ours."""

    architecture: str = "resnet34"
    """Name of a network, one of ``ARCHITECTURES``."""
    init: str = "random"
    """What training starts from: ``random`` weights, or torchvision's ``imagenet`` weights with a new head and, below
    112 pixels, a new first convolution. ``imagenet`` is for the networks in ``PRETRAINED``."""
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
    crop_padding: int = 0
    """Pixels of reflected border added on each side before the random crop."""
    seed: int = 0
    """Of the initial weights, the order of the images and the augmentation."""

    def __post_init__(self) -> None:
        _require_choice("teacher.architecture", self.architecture, ARCHITECTURES)
        _require_choice("teacher.init", self.init, INITIAL_WEIGHTS)
        _require(
            self.init == "random" or self.architecture in PRETRAINED,
            f"`random` for a network without ImageNet weights, such as {self.architecture!r} "
            f"(there are some for {', '.join(PRETRAINED)})",
            "teacher.init",
            self.init,
        )
        for name in ("epochs", "learning_rate"):
            _require_positive(f"teacher.{name}", getattr(self, name))
        _require(self.batch_size >= 2, _TWO_IMAGES, "teacher.batch_size", self.batch_size)
        _require_weight("teacher.weight_decay", self.weight_decay)
        _require(0 <= self.label_smoothing < 1, "in [0, 1)", "teacher.label_smoothing", self.label_smoothing)
        _require(self.crop_padding >= 0, "an integer >= 0", "teacher.crop_padding", self.crop_padding)


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
    normalisation_when_frozen: str = "batch"
    """In the generator's phase the student's batch norms use the statistics of the ``batch``, without remembering them,
    or those of the ``running`` mean and variance. Not stated in the paper."""

    def __post_init__(self) -> None:
        _require_choice("student.architecture", self.architecture, ARCHITECTURES)
        _require_choice("student.normalisation_when_frozen", self.normalisation_when_frozen, NORMALISATIONS)
        _require_positive("student.learning_rate", self.learning_rate)
        _require(0 <= self.momentum < 1, "in [0, 1)", "student.momentum", self.momentum)
        _require_weight("student.weight_decay", self.weight_decay)


NORMALISATIONS = ("batch", "running")
"""What the batch norms of a network use that is not being trained: the batch's statistics or the remembered ones."""

GENERATOR_SCHEDULES = ("cosine", "constant")
SOFTMAX_AXES = ("channels", "positions")
GENERATOR_OUTPUTS = ("normalised", "pixels", "standardised")


@dataclass(frozen=True, kw_only=True)
class SpatialAttentionConfig:
    """The spatial attention module of each generator block (section 4.1, equations 4-6, Table 6)."""

    weight: float = 0.05
    """The paper's lambda. 0 builds the generator without the modules."""
    reduction: int = 8
    """The paper's r: the module works on C / r channels. Not stated in the paper."""
    softmax_axis: str = "channels"
    """What the attention sums to one over: ``channels`` at each pixel, or ``positions`` in each channel."""

    def __post_init__(self) -> None:
        _require_weight("generator.attention.weight", self.weight)
        _require(
            self.reduction in (1, 2, 4, 8, 16, 32, 64),
            "a power of two up to 64 (it must divide the blocks' 256, 128 and 64 channels)",
            "generator.attention.reduction",
            self.reduction,
        )
        _require_choice("generator.attention.softmax_axis", self.softmax_axis, SOFTMAX_AXES)


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """The attention generator of Table 6 and its optimiser, Adam (section 5.1)."""

    noise_size: int = 256
    """Length of the Gaussian noise vector z. Not stated in the paper."""
    learning_rate: float = 1e-3
    """Of Adam, at the first step."""
    schedule: str = "cosine"
    """``cosine``: the learning rate falls to zero along half a cosine, as the student's does; or ``constant``. The
    paper names a schedule for the student alone."""
    output: str = "normalised"
    """How the tanh's [-1, 1] meets networks that expect normalised images: ``normalised`` gives it to them as it is,
    one standard deviation either side of the data set's mean; ``pixels`` takes it as black to white and normalises
    that; ``standardised`` gives every channel of the batch mean 0 and variance 1. Not stated in the paper."""
    beta1: float = 0.5
    """Of Adam."""
    beta2: float = 0.99
    """Of Adam."""
    normalisation_when_frozen: str = "batch"
    """In the student's phase the generator's batch norms use the statistics of the ``batch`` or those of the
    ``running`` mean and variance. Not stated in the paper."""
    attention: SpatialAttentionConfig = field(default_factory=SpatialAttentionConfig)
    """The spatial attention modules."""

    def __post_init__(self) -> None:
        _require_positive("generator.noise_size", self.noise_size)
        _require_positive("generator.learning_rate", self.learning_rate)
        _require_choice("generator.schedule", self.schedule, GENERATOR_SCHEDULES)
        _require_choice("generator.output", self.output, GENERATOR_OUTPUTS)
        _require_choice("generator.normalisation_when_frozen", self.normalisation_when_frozen, NORMALISATIONS)
        _require(0 <= self.beta1 < 1, "in [0, 1)", "generator.beta1", self.beta1)
        _require(0 <= self.beta2 < 1, "in [0, 1)", "generator.beta2", self.beta2)


@dataclass(frozen=True, kw_only=True)
class BatchNormConfig:
    """Matching the teacher's batch-norm statistics (equation 3)."""

    weight: float = 0.3
    """The paper's alpha."""

    def __post_init__(self) -> None:
        _require_weight("generator_loss.batch_norm.weight", self.weight)


@dataclass(frozen=True, kw_only=True)
class AdversarialConfig:
    """Seeking images on which student and teacher differ: minus the distillation loss (equation 10)."""

    weight: float = 1.0
    """1 in the paper."""

    def __post_init__(self) -> None:
        _require_weight("generator_loss.adversarial.weight", self.weight)


@dataclass(frozen=True, kw_only=True)
class GeneratorLossConfig:
    """What the generator minimises: alpha * L_BN - L_KD (equation 10)."""

    batch_norm: BatchNormConfig = field(default_factory=BatchNormConfig)
    """L_BN."""
    adversarial: AdversarialConfig = field(default_factory=AdversarialConfig)
    """- L_KD."""

    def __post_init__(self) -> None:
        _require(
            self.batch_norm.weight > 0 or self.adversarial.weight > 0,
            "a sum with at least one term of positive weight, or the generator has nothing to learn",
            "generator_loss",
            "all weights 0",
        )


KL_DIRECTIONS = ("forward", "reverse")


@dataclass(frozen=True, kw_only=True)
class DistillationConfig:
    """Matching the teacher's class probabilities (equation 2)."""

    weight: float = 1.0
    """1 in the paper."""
    temperature: float = 1.0
    """Of both softmaxes, here and in the generator's adversarial term. The paper mentions none."""
    direction: str = "forward"
    """``forward``: KL(teacher, student), as the same author's code has it; ``reverse``: KL(student, teacher), as
    equation 2 writes it. Here and in the generator's adversarial term."""

    def __post_init__(self) -> None:
        _require_choice("student_loss.distillation.direction", self.direction, KL_DIRECTIONS)
        _require_weight("student_loss.distillation.weight", self.weight)
        _require_positive("student_loss.distillation.temperature", self.temperature)


ATTENTION_TRAINING = ("frozen", "shared", "student", "both")
ATTENTION_ACTIVATIONS = ("per_order", "after_sum")
ATTENTION_TARGETS = ("attended_features", "attention_maps")
STAGE_CHOICES = ("auto", "all", "penultimate")


@dataclass(frozen=True, kw_only=True)
class MHADConfig:
    """Mixed high-order attention distillation (section 4.2, equation 7)."""

    weight: float = 10.0
    """The paper's beta."""
    orders: str = "1+2+3"
    """Attention orders that are mixed: the paper's R = 3 is ``1+2+3``, R = 1 is ``1``."""
    reduction: int = 4
    """Each route works on C / reduction channels; 4 in the authors of MHN's code."""
    stages: str = "auto"
    """Where attention is compared: at ``all`` stages, at the ``penultimate`` feature through an MLP, or at a list of
    stages, numbered from 1, such as ``3+4``. ``auto`` is all stages where teacher and student have as many with maps of
    the same sizes, and else the penultimate feature, as in the paper for WRN and MobileNetV2."""
    hidden_size: int = 512
    """Width of the MLP's two hidden layers, where attention is compared at the penultimate feature. Not stated."""
    attention: str = "frozen"
    """Who has and who trains the attention of a stage. One for both networks: ``frozen`` at its initial weights, or
    ``shared`` and trained with the student. One each: the ``student``'s is trained and the teacher's is frozen, or
    ``both`` are trained. The paper does not say."""
    activation: str = "per_order"
    """A sigmoid ``per_order``, then the mean, as in MHN's code; or one ``after_sum``, as the paper's text reads."""
    compared: str = "attended_features"
    """What L_MHAD compares: ``attended_features``, A_m x F, or ``attention_maps``, A_m. The text says both."""

    def __post_init__(self) -> None:
        _require_weight("student_loss.mhad.weight", self.weight)
        parse_orders(self.orders)
        _require(
            self.reduction in (1, 2, 4, 8, 16), "one of 1, 2, 4, 8, 16", "student_loss.mhad.reduction", self.reduction
        )
        if self.stages not in STAGE_CHOICES:
            parse_stages(self.stages)
        _require_positive("student_loss.mhad.hidden_size", self.hidden_size)
        _require_choice("student_loss.mhad.attention", self.attention, ATTENTION_TRAINING)
        _require_choice("student_loss.mhad.activation", self.activation, ATTENTION_ACTIVATIONS)
        _require_choice("student_loss.mhad.compared", self.compared, ATTENTION_TARGETS)


def parse_orders(text: str) -> tuple[int, ...]:
    """Return the orders in ``1+2+3``, ascending. Orders are 1 to 6, each at most once."""
    parts = text.split("+")
    _require(
        all(part in ("1", "2", "3", "4", "5", "6") for part in parts) and parts == sorted(set(parts)),
        "ascending orders from 1 to 6 joined by `+`, such as `1+2+3` (the paper's R = 3)",
        "student_loss.mhad.orders",
        text,
    )
    return tuple(int(part) for part in parts)


def parse_stages(text: str) -> tuple[int, ...]:
    """Return the stage numbers in ``3+4``, ascending. Numbers start at 1; which exist, the networks say."""
    parts = text.split("+")
    _require(
        all(part.isdecimal() and part[0] != "0" for part in parts)
        and [int(part) for part in parts] == sorted({int(part) for part in parts}),
        "`auto`, `all`, `penultimate`, or ascending stage numbers from 1 joined by `+`, such as `3+4`",
        "student_loss.mhad.stages",
        text,
    )
    return tuple(int(part) for part in parts)


@dataclass(frozen=True, kw_only=True)
class SFCLConfig:
    """Semantic feature contrast learning (section 4.3, equations 8 and 9)."""

    weight: float = 8.0
    """The paper's gamma."""
    temperature: float = 0.07
    """The paper's tau. Not stated; 0.07 in the same author's CPSC-DFKD code."""
    hidden_size: int = 512
    """Width of the two hidden layers of the projection. Not stated in the paper."""
    projection_size: int = 128
    """Length of the compared vectors. Not stated in the paper."""

    def __post_init__(self) -> None:
        _require_weight("student_loss.sfcl.weight", self.weight)
        for name in ("temperature", "hidden_size", "projection_size"):
            _require_positive(f"student_loss.sfcl.{name}", getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class StudentLossConfig:
    """What the student minimises: L_KD + beta * L_MHAD + gamma * L_SFCL (equation 11)."""

    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    """L_KD."""
    mhad: MHADConfig = field(default_factory=MHADConfig)
    """L_MHAD."""
    sfcl: SFCLConfig = field(default_factory=SFCLConfig)
    """L_SFCL."""

    def __post_init__(self) -> None:
        _require(
            self.distillation.weight > 0 or self.mhad.weight > 0 or self.sfcl.weight > 0,
            "a sum with at least one term of positive weight, or the student has nothing to learn",
            "student_loss",
            "all weights 0",
        )


PHASES = ("alternate", "staged")


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """How long, and in which rhythm (section 5.1, Algorithm 1)."""

    epochs: int = 200
    """Evaluations of the student, and checkpoints: one at the end of each epoch."""
    iterations_per_epoch: int = 50
    """Rounds of generator and student steps in an epoch. Not stated; 50 in the authors' one published configuration."""
    generator_steps: int = 20
    """Generator steps in a round: the paper's t."""
    student_steps: int = 15
    """Student steps in a round: the paper's k."""
    batch_size: int = 64
    """Images synthesised for a step."""
    phases: str = "alternate"
    """``alternate``: every round is its generator steps, then its student steps; ``staged``: all generator steps of the
    run come before its first student step. Algorithm 1 reads as the second, the text as the first."""

    def __post_init__(self) -> None:
        _require_choice("schedule.phases", self.phases, PHASES)
        for name in ("epochs", "iterations_per_epoch", "generator_steps", "student_steps"):
            _require_positive(f"schedule.{name}", getattr(self, name))
        _require(self.batch_size >= 2, _TWO_IMAGES, "schedule.batch_size", self.batch_size)


PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True, kw_only=True)
class ComputeConfig:
    """Arithmetic that moves the last digits of a result, and is therefore part of a run's identity."""

    precision: str = "float32"
    """``bfloat16`` runs the networks under autocast; losses, statistics and softmaxes stay in float32."""
    channels_last: bool = False
    """Keep images and feature maps in channels-last memory order: faster convolutions on most machines."""

    def __post_init__(self) -> None:
        _require_choice("compute.precision", self.precision, PRECISIONS)


METHODS = ("dfkd_fgvc", "scratch", "real_kd")

REAL_METHODS = ("scratch", "real_kd")
"""Methods that are shown the real training images."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One run: everything that decides its result but the teacher's weights and the test images."""

    method: str = "dfkd_fgvc"
    """How the student learns. ``dfkd_fgvc``: the paper's method, without any real image. Upper bounds, on the real
    training images: ``scratch`` from their labels, ``real_kd`` from the teacher's probabilities."""
    seed: int = 0
    """Of the student's and the generator's initial weights and of the noise, by named streams."""
    data: DataConfig = field(default_factory=DataConfig)
    """The data set."""
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    """The teacher's architecture and recipe."""
    student: StudentConfig = field(default_factory=StudentConfig)
    """The student and its optimiser."""
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    """The generator and its optimiser."""
    generator_loss: GeneratorLossConfig = field(default_factory=GeneratorLossConfig)
    """The generator's loss terms."""
    student_loss: StudentLossConfig = field(default_factory=StudentLossConfig)
    """The student's loss terms."""
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    """Length and rhythm."""
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    """Precision and memory order."""

    def __post_init__(self) -> None:
        _require_choice("method", self.method, METHODS)
        _require(self.seed >= 0, "an integer >= 0", "seed", self.seed)
        _require(
            self.teacher.crop_padding < self.data.image_size,
            f"less than `data.image_size` ({self.data.image_size}), whose reflection it is",
            "teacher.crop_padding",
            self.teacher.crop_padding,
        )
