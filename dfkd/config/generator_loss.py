"""What synthetic images minimise, whatever makes them."""

from dataclasses import dataclass, field, fields

from dfkd.config.rules import require, require_choice, require_positive, require_weight

DISCREPANCIES = ("distillation", "kl", "l1")
MASKS = ("all", "agreeing")
LABELS = ("argmax", "random", "cycle")


@dataclass(frozen=True, kw_only=True)
class BatchNormConfig:
    """Matching the teacher's batch-norm statistics (equation 3)."""

    weight: float = 0.3
    """The paper's alpha."""

    def __post_init__(self) -> None:
        require_weight("generator_loss.batch_norm.weight", self.weight)


@dataclass(frozen=True, kw_only=True)
class AdversarialConfig:
    """Seeking images on which student and teacher differ: minus a distance (equation 10)."""

    weight: float = 1.0
    """1 in the paper."""
    kind: str = "distillation"
    """The distance: what the student minimises, ``distillation``, as in the paper; or, whatever that is, the Kullback-
    Leibler divergence ``kl`` of the probabilities or the mean difference ``l1`` of the logits."""
    temperature: float = 1.0
    """Of both softmaxes, where ``kind`` is ``kl``."""
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

    def __post_init__(self) -> None:
        require(
            any(getattr(self, term.name).weight > 0 for term in fields(self)),
            "a sum with at least one term of positive weight, or the generator has nothing to learn",
            "generator_loss",
            "all weights 0",
        )
