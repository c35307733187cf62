"""The generator and its optimiser."""

from dataclasses import dataclass, field

from dfkd.config.networks import NORMALISATIONS
from dfkd.config.rules import require, require_choice, require_positive, require_weight

GENERATOR_SCHEDULES = ("cosine", "constant")
SOFTMAX_AXES = ("channels", "positions")
BLOCK_NORMALISATIONS = ("none", "batch")
GENERATOR_OUTPUTS = ("normalised", "pixels", "standardised")
NOISE_LASTS = ("step", "round")


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
        require_weight("generator.attention.weight", self.weight)
        require(
            self.reduction in (1, 2, 4, 8, 16, 32, 64),
            "a power of two up to 64 (it must divide the blocks' 256, 128 and 64 channels)",
            "generator.attention.reduction",
            self.reduction,
        )
        require_choice("generator.attention.softmax_axis", self.softmax_axis, SOFTMAX_AXES)


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
    block_normalisation: str = "none"
    """After each of the four deconvolutions: ``none``, as Table 6 has it, or ``batch`` norm, as the same author's other
    generators have."""
    negative_slope: float = 0.2
    """Of the LeakyReLU in the four blocks. Not stated in the paper."""
    beta1: float = 0.5
    """Of Adam."""
    beta2: float = 0.99
    """Of Adam."""
    gradient_clip_norm: float = 0.0
    """A longer gradient is shortened to this norm before each step; 0 leaves it as it is."""
    noise_for: str = "step"
    """How long a batch of noise lasts: one ``step``, or a ``round`` of generator and student steps."""
    class_embedding: int = 0
    """Length of a learnt vector per class that is appended to z, so that the images are asked to be of that class; 0
    leaves the generator unconditional. It needs `generator_loss.one_hot.labels` other than ``argmax``."""
    normalisation_when_frozen: str = "batch"
    """In the student's phase the generator's batch norms use the statistics of the ``batch`` or those of the
    ``running`` mean and variance. Not stated in the paper."""
    attention: SpatialAttentionConfig = field(default_factory=SpatialAttentionConfig)
    """The spatial attention modules."""

    def __post_init__(self) -> None:
        require_positive("generator.noise_size", self.noise_size)
        require_positive("generator.learning_rate", self.learning_rate)
        require_choice("generator.schedule", self.schedule, GENERATOR_SCHEDULES)
        require_weight("generator.gradient_clip_norm", self.gradient_clip_norm)
        require_choice("generator.noise_for", self.noise_for, NOISE_LASTS)
        require(self.class_embedding >= 0, "an integer >= 0", "generator.class_embedding", self.class_embedding)
        require_choice("generator.output", self.output, GENERATOR_OUTPUTS)
        require_choice("generator.block_normalisation", self.block_normalisation, BLOCK_NORMALISATIONS)
        require(0 <= self.negative_slope < 1, "in [0, 1)", "generator.negative_slope", self.negative_slope)
        require_choice("generator.normalisation_when_frozen", self.normalisation_when_frozen, NORMALISATIONS)
        require(0 <= self.beta1 < 1, "in [0, 1)", "generator.beta1", self.beta1)
        require(0 <= self.beta2 < 1, "in [0, 1)", "generator.beta2", self.beta2)
