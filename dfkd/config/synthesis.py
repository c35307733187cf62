"""Where synthetic images come from, and what is kept of them."""

from dataclasses import dataclass, field

from dfkd.config.rules import require, require_choice, require_positive, require_weight

SYNTHESES = ("generator", "images", "generator_and_noise")
STARTS = ("fresh", "maml", "reptile")
REPLAYS = ("none", "generator", "images", "autoencoder")


@dataclass(frozen=True, kw_only=True)
class ImagesConfig:
    """Images whose pixels are optimised, by Adam, a batch for a round's synthesis steps (DeepInversion, ZSKD)."""

    learning_rate: float = 0.1
    """Of Adam; 0.1 in DeepInversion's code for CIFAR-10."""
    beta1: float = 0.9
    """Of Adam."""
    beta2: float = 0.999
    """Of Adam."""
    jitter: float = 0.0625
    """Images are rolled by up to this share of their side before they are judged, and mirrored half of the time where
    the data set allows; 2 of 32 pixels in DeepInversion's code for CIFAR-10. 0 does not roll."""

    def __post_init__(self) -> None:
        require_positive("synthesis.images.learning_rate", self.learning_rate)
        require(0 <= self.beta1 < 1, "in [0, 1)", "synthesis.images.beta1", self.beta1)
        require(0 <= self.beta2 < 1, "in [0, 1)", "synthesis.images.beta2", self.beta2)
        require(0 <= self.jitter < 1, "in [0, 1)", "synthesis.images.jitter", self.jitter)


@dataclass(frozen=True, kw_only=True)
class NoiseConfig:
    """Images of a generator that is fitted to a batch of noise, which is optimised with it, by Adam, for a round's
    synthesis steps (CMI, Fast-Datafree). The generator's own rate is `generator.learning_rate`."""

    learning_rate: float = 1e-3
    """Of the noise; 1e-3 in CMI's scripts."""
    start: str = "fresh"
    """Where a round's generator starts: at new weights, ``fresh``, as in CMI; or at those of a meta-generator, which
    learns to be a good start by first-order ``maml`` or by ``reptile``: Fast-Datafree."""
    crop_padding: int = 4
    """Images are shifted by up to this many pixels before they are judged, with a reflected border, and mirrored half
    of the time where the data set allows."""

    def __post_init__(self) -> None:
        require_positive("synthesis.noise.learning_rate", self.learning_rate)
        require_choice("synthesis.noise.start", self.start, STARTS)
        require(self.crop_padding >= 0, "an integer >= 0", "synthesis.noise.crop_padding", self.crop_padding)


@dataclass(frozen=True, kw_only=True)
class SynthesisConfig:
    """Where synthetic images come from."""

    kind: str = "generator"
    """``generator``: a network that makes images of noise, trained in turns with the student. ``images``: pixels are
    optimised, a batch of them for a round's synthesis steps. ``generator_and_noise``: a generator and its noise are
    fitted together, to one batch for a round's synthesis steps."""
    images: ImagesConfig = field(default_factory=ImagesConfig)
    """Optimised pixels."""
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    """A generator fitted together with its noise."""

    def __post_init__(self) -> None:
        require_choice("synthesis.kind", self.kind, SYNTHESES)


@dataclass(frozen=True, kw_only=True)
class AutoencoderConfig:
    """A variational autoencoder of former images and its optimiser, Adam (PRE-DFKD)."""

    learning_rate: float = 5e-4
    """Of Adam; 5e-4 in the authors' code."""
    steps: int = 4
    """It learns in that many student steps of a round; 4 of 10 in the authors' code."""
    prior_weight: float = 1e-5
    """Of the divergence of the codes from the standard normal, beside the reconstruction; 1e-5 in the authors' code."""

    def __post_init__(self) -> None:
        require_positive("replay.autoencoder.learning_rate", self.learning_rate)
        require_positive("replay.autoencoder.steps", self.steps)
        require_weight("replay.autoencoder.prior_weight", self.prior_weight)


@dataclass(frozen=True, kw_only=True)
class ReplayConfig:
    """What the student is shown again of former images."""

    kind: str = "none"
    """``none``: nothing, every image is new. ``generator``: images of a generator whose weights are a moving average of
    the trained one's. ``images``: the last images that were made, kept as bytes. ``autoencoder``: images of a decoder
    that was trained, with an encoder, to give back what the student saw."""
    fraction: float = 0.5
    """The share of a student step's images that come from the replay."""
    momentum: float = 0.95
    """What the moving average keeps of itself at each generator step."""
    capacity: int = 51200
    """How many images are kept. 51,200 are 200 batches of 256, all that CMI's code makes in a run of 200 epochs."""
    crop_padding: int = 4
    """Images that are shown again are shifted by up to this many pixels, with a reflected border; 0 shifts none. They
    are mirrored half of the time where the data set allows."""
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    """The autoencoder."""

    def images(self, batch_size: int) -> int:
        """Return how many of a student step's images come from the replay."""
        return 0 if self.kind == "none" else round(self.fraction * batch_size)

    def __post_init__(self) -> None:
        require_choice("replay.kind", self.kind, REPLAYS)
        require(0 < self.fraction <= 1, "in (0, 1]", "replay.fraction", self.fraction)
        require(0 <= self.momentum < 1, "in [0, 1)", "replay.momentum", self.momentum)
        require_positive("replay.capacity", self.capacity)
        require(self.crop_padding >= 0, "an integer >= 0", "replay.crop_padding", self.crop_padding)
