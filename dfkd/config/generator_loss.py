"""What synthetic images minimise, whatever makes them."""

import math
from dataclasses import dataclass, field, fields

from dfkd.config.rules import require, require_choice, require_positive, require_weight

DISCREPANCIES = ("distillation", "kl", "l1", "jensen_shannon")
MASKS = ("all", "agreeing")
LABELS = ("argmax", "random", "cycle")


@dataclass(frozen=True, kw_only=True)
class BatchNormConfig:
    """Matching the teacher's batch-norm statistics (equation 3)."""

    weight: float = 0.3
    """The paper's alpha."""
    momentum: float = 0.0
    """What a moving average over former rounds counts in the statistics that are matched; the batch counts the rest. 0
    in the paper, 0.9 in Fast-Datafree."""

    def __post_init__(self) -> None:
        require_weight("generator_loss.batch_norm.weight", self.weight)
        require(0 <= self.momentum < 1, "in [0, 1)", "generator_loss.batch_norm.momentum", self.momentum)


@dataclass(frozen=True, kw_only=True)
class AdversarialConfig:
    """Seeking images on which student and teacher differ: minus a distance (equation 10)."""

    weight: float = 1.0
    """1 in the paper."""
    kind: str = "distillation"
    """The distance: what the student minimises, ``distillation``, as in the paper; or, whatever that is, the Kullback-
    Leibler divergence ``kl`` of the probabilities, their ``jensen_shannon`` divergence, or the mean difference ``l1``
    of the logits."""
    temperature: float = 1.0
    """Of both softmaxes, where ``kind`` is ``kl`` or ``jensen_shannon``."""
    mask: str = "all"
    """Whether ``all`` images count, or those on which both networks are ``agreeing`` on the class; the rest count 0."""

    def __post_init__(self) -> None:
        require_weight("generator_loss.adversarial.weight", self.weight)
        require_choice("generator_loss.adversarial.kind", self.kind, DISCREPANCIES)
        require_positive("generator_loss.adversarial.temperature", self.temperature)
        require_choice("generator_loss.adversarial.mask", self.mask, MASKS)


@dataclass(frozen=True, kw_only=True)
class OneHotConfig:
    """Seeking images of which the teacher is sure: the cross-entropy of its answer (DAFL, equation 3)."""

    weight: float = 0.0
    """0 in the paper."""
    labels: str = "argmax"
    """The classes asked for: the teacher's own, ``argmax``; drawn at ``random``; or in turn, as a ``cycle``."""

    def __post_init__(self) -> None:
        require_weight("generator_loss.one_hot.weight", self.weight)
        require_choice("generator_loss.one_hot.labels", self.labels, LABELS)


@dataclass(frozen=True, kw_only=True)
class ClassBalanceConfig:
    """Seeking batches in which the teacher sees all classes alike: minus their entropy (DAFL, equation 6)."""

    weight: float = 0.0
    """0 in the paper."""

    def __post_init__(self) -> None:
        require_weight("generator_loss.class_balance.weight", self.weight)


@dataclass(frozen=True, kw_only=True)
class ActivationConfig:
    """Seeking images to which the teacher's penultimate features respond (DAFL, equation 4)."""

    weight: float = 0.0
    """0 in the paper."""

    def __post_init__(self) -> None:
        require_weight("generator_loss.activation.weight", self.weight)


@dataclass(frozen=True, kw_only=True)
class ImpressionsConfig:
    """Seeking images with class probabilities that the teacher's last layer makes likely (ZSKD)."""

    weight: float = 0.0
    """0 in the paper."""
    temperature: float = 20.0
    """Of the teacher's softmax; 20 in ZSKD."""
    concentrations: str = "1.0+0.1"
    """Of the Dirichlet distributions that the probabilities are drawn from, ZSKD's beta: as many equal parts of a batch
    as there are numbers."""

    def __post_init__(self) -> None:
        require_weight("generator_loss.impressions.weight", self.weight)
        require_positive("generator_loss.impressions.temperature", self.temperature)
        parse_concentrations(self.concentrations)


def parse_concentrations(text: str) -> tuple[float, ...]:
    """Return the numbers in ``1.0+0.1``."""
    rule, name = "finite numbers > 0 joined by `+`, such as `1.0+0.1`", "generator_loss.impressions.concentrations"
    try:
        values = tuple(float(part) for part in text.split("+"))
    except ValueError:
        values = ()
    require(bool(values) and all(0 < value < math.inf for value in values), rule, name, text)
    return values


@dataclass(frozen=True, kw_only=True)
class TotalVariationConfig:
    """Seeking smooth images: the differences between neighbouring pixels (DeepInversion)."""

    weight: float = 0.0
    """0 in the paper."""

    def __post_init__(self) -> None:
        require_weight("generator_loss.total_variation.weight", self.weight)


@dataclass(frozen=True, kw_only=True)
class PixelNormConfig:
    """Seeking images near the data's mean: the norm of an image (DeepInversion)."""

    weight: float = 0.0
    """0 in the paper."""

    def __post_init__(self) -> None:
        require_weight("generator_loss.pixel_norm.weight", self.weight)


@dataclass(frozen=True, kw_only=True)
class ContrastConfig:
    """Seeking images that differ from one another and from those of a bank (CMI's L_cr)."""

    weight: float = 0.0
    """0 in the paper; 0.8 in CMI."""
    temperature: float = 0.1
    """0.1 in CMI's scripts."""
    capacity: int = 40960
    """How many images' features the bank keeps; 40,960 in CMI's code."""
    negatives: int = 4096
    """How many of them a step looks at, at most; 4,096 in CMI's code."""
    projection_size: int = 256
    """Length of the compared vectors; 256 in CMI's code."""

    def __post_init__(self) -> None:
        require_weight("generator_loss.contrast.weight", self.weight)
        for name in ("temperature", "capacity", "negatives", "projection_size"):
            require_positive(f"generator_loss.contrast.{name}", getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class GeneratorLossConfig:
    """What synthetic images minimise; in the paper alpha * L_BN - L_KD (equation 10)."""

    batch_norm: BatchNormConfig = field(default_factory=BatchNormConfig)
    """L_BN."""
    adversarial: AdversarialConfig = field(default_factory=AdversarialConfig)
    """- L_KD."""
    one_hot: OneHotConfig = field(default_factory=OneHotConfig)
    """Sure answers."""
    class_balance: ClassBalanceConfig = field(default_factory=ClassBalanceConfig)
    """All classes alike."""
    activation: ActivationConfig = field(default_factory=ActivationConfig)
    """Features that respond."""
    impressions: ImpressionsConfig = field(default_factory=ImpressionsConfig)
    """Likely class probabilities."""
    total_variation: TotalVariationConfig = field(default_factory=TotalVariationConfig)
    """Smooth images."""
    pixel_norm: PixelNormConfig = field(default_factory=PixelNormConfig)
    """Images near the mean."""
    contrast: ContrastConfig = field(default_factory=ContrastConfig)
    """Images apart from one another."""

    def __post_init__(self) -> None:
        require(
            any(getattr(self, term.name).weight > 0 for term in fields(self)),
            "a sum with at least one term of positive weight, or the generator has nothing to learn",
            "generator_loss",
            "all weights 0",
        )
