"""What the student minimises."""

from dataclasses import dataclass, field, fields

from dfkd.config.orders import REDUCTIONS, parse_orders
from dfkd.config.rules import require, require_choice, require_positive, require_weight

KL_DIRECTIONS = ("forward", "reverse")
DISTILLATIONS = ("kl", "l1", "mse")


@dataclass(frozen=True, kw_only=True)
class DistillationConfig:
    """Matching the teacher's class probabilities (equation 2)."""

    weight: float = 1.0
    """1 in the paper."""
    kind: str = "kl"
    """``kl``: the Kullback-Leibler divergence of the probabilities; or the mean difference of the logits, absolute,
    ``l1``, or squared, ``mse``. Here and, unless it has a kind of its own, in the generator's adversarial term."""
    temperature: float = 1.0
    """Of both softmaxes, here and in the generator's adversarial term. The paper mentions none."""
    direction: str = "forward"
    """``forward``: KL(teacher, student), as the same author's code has it; ``reverse``: KL(student, teacher), as
    equation 2 writes it. Here and in the generator's adversarial term."""

    def __post_init__(self) -> None:
        require_choice("student_loss.distillation.kind", self.kind, DISTILLATIONS)
        require_choice("student_loss.distillation.direction", self.direction, KL_DIRECTIONS)
        require_weight("student_loss.distillation.weight", self.weight)
        require_positive("student_loss.distillation.temperature", self.temperature)


ATTENTION_TRAINING = ("frozen", "shared", "student", "both", "teacher")
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
    ``shared`` and trained with the student, or trained before with the ``teacher`` (``teacher.attention``) and frozen.
    One each: the ``student``'s is trained and the teacher's is frozen, or ``both`` are trained. Not stated."""
    activation: str = "per_order"
    """A sigmoid ``per_order``, then the mean, as in MHN's code; or one ``after_sum``, as the paper's text reads."""
    compared: str = "attended_features"
    """What L_MHAD compares: ``attended_features``, A_m x F, or ``attention_maps``, A_m. The text says both."""

    def __post_init__(self) -> None:
        require_weight("student_loss.mhad.weight", self.weight)
        parse_orders(self.orders)
        require(
            self.reduction in REDUCTIONS,
            f"one of {', '.join(map(str, REDUCTIONS))}",
            "student_loss.mhad.reduction",
            self.reduction,
        )
        if self.stages not in STAGE_CHOICES:
            parse_stages(self.stages)
        require_positive("student_loss.mhad.hidden_size", self.hidden_size)
        require_choice("student_loss.mhad.attention", self.attention, ATTENTION_TRAINING)
        require_choice("student_loss.mhad.activation", self.activation, ATTENTION_ACTIVATIONS)
        require_choice("student_loss.mhad.compared", self.compared, ATTENTION_TARGETS)


def parse_stages(text: str) -> tuple[int, ...]:
    """Return the stage numbers in ``3+4``, ascending. Numbers start at 1; which exist, the networks say."""
    parts = text.split("+")
    require(
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
        require_weight("student_loss.sfcl.weight", self.weight)
        for name in ("temperature", "hidden_size", "projection_size"):
            require_positive(f"student_loss.sfcl.{name}", getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class AttentionTransferConfig:
    """Responding where the teacher does: the distance of both networks' spatial attention (ZSKT, equation 4)."""

    weight: float = 0.0
    """0 in the paper; 250 in ZSKT."""

    def __post_init__(self) -> None:
        require_weight("student_loss.attention_transfer.weight", self.weight)


@dataclass(frozen=True, kw_only=True)
class StudentLossConfig:
    """What the student minimises: L_KD + beta * L_MHAD + gamma * L_SFCL (equation 11)."""

    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    """L_KD."""
    mhad: MHADConfig = field(default_factory=MHADConfig)
    """L_MHAD."""
    sfcl: SFCLConfig = field(default_factory=SFCLConfig)
    """L_SFCL."""
    attention_transfer: AttentionTransferConfig = field(default_factory=AttentionTransferConfig)
    """Spatial attention."""

    def __post_init__(self) -> None:
        require(
            any(getattr(self, term.name).weight > 0 for term in fields(self)),
            "a sum with at least one term of positive weight, or the student has nothing to learn",
            "student_loss",
            "all weights 0",
        )
