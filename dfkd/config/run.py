"""The whole tree: one run."""

from dataclasses import dataclass, field

from dfkd.config.data import DataConfig
from dfkd.config.generator import GeneratorConfig
from dfkd.config.generator_loss import GeneratorLossConfig
from dfkd.config.networks import StudentConfig, TeacherConfig
from dfkd.config.rules import TWO_IMAGES, require, require_choice, require_positive
from dfkd.config.student_loss import StudentLossConfig
from dfkd.config.synthesis import ReplayConfig, SynthesisConfig

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
    warm_up: float = 0.0
    """Share of the run's rounds, at its start, that are generator steps alone, so that the student finds images when it
    begins. 0 in the paper; 20 epochs of 220 in Fast-Datafree."""

    @property
    def warm_up_rounds(self) -> int:
        """The rounds of generator steps alone."""
        return int(self.warm_up * self.epochs * self.iterations_per_epoch)

    @property
    def most_rounds_in_an_epoch(self) -> int:
        """The rounds' worth of generator steps that an epoch takes at most."""
        if self.phases == "alternate":
            return self.iterations_per_epoch
        # An epoch of generator steps alone, which may begin within a round.
        return self.iterations_per_epoch * (self.generator_steps + self.student_steps) // self.generator_steps + 1

    def __post_init__(self) -> None:
        require(0 <= self.warm_up < 1, "in [0, 1)", "schedule.warm_up", self.warm_up)
        require(
            self.warm_up == 0 or self.phases == "alternate",
            "0 where `schedule.phases` is `staged`, whose generator steps come first anyway",
            "schedule.warm_up",
            self.warm_up,
        )
        require_choice("schedule.phases", self.phases, PHASES)
        for name in ("epochs", "iterations_per_epoch", "generator_steps", "student_steps"):
            require_positive(f"schedule.{name}", getattr(self, name))
        require(self.batch_size >= 2, TWO_IMAGES, "schedule.batch_size", self.batch_size)


PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True, kw_only=True)
class ComputeConfig:
    """Arithmetic that moves the last digits of a result, and is therefore part of a run's identity."""

    precision: str = "float32"
    """``bfloat16`` runs the networks under autocast; losses, statistics and softmaxes stay in float32."""
    channels_last: bool = False
    """Keep images and feature maps in channels-last memory order: faster convolutions on most machines."""

    def __post_init__(self) -> None:
        require_choice("compute.precision", self.precision, PRECISIONS)


METHODS = (
    *("dfkd_fgvc", "zskt", "dafl", "dfad", "dfq", "mad", "adi", "zskd", "cmi", "fast", "pre_dfkd", "own_best"),
    *("scratch", "real_kd"),
)

REAL_METHODS = ("scratch", "real_kd")
"""Methods that are shown the real training images."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One run: everything that decides its result but the teacher's weights and the test images."""

    method: str = "dfkd_fgvc"
    """What the run is called: a data-free method, whose preset (search_spaces/methods) sets the other fields, since
    alone the name changes nothing; or an upper bound on the real training images: ``scratch`` from their labels,
    ``real_kd`` from the teacher's probabilities."""
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
    synthesis: SynthesisConfig = field(default_factory=SynthesisConfig)
    """Where synthetic images come from."""
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    """What the student is shown again."""
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    """Length and rhythm."""
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    """Precision and memory order."""

    @property
    def learns_from_real_images(self) -> bool:
        """Whether the method is one of ``REAL_METHODS``."""
        return self.method in REAL_METHODS

    @property
    def runs_eagerly(self) -> bool:
        """Whether no other engine runs it: it learns from real images, or synthesises them without a generator of its
        own or with one that is made anew each round."""
        return self.learns_from_real_images or self.synthesis.kind != "generator"

    def __post_init__(self) -> None:
        require_choice("method", self.method, METHODS)
        require(self.seed >= 0, "an integer >= 0", "seed", self.seed)
        require(
            not self.generator.class_embedding or self.generator_loss.one_hot.labels != "argmax",
            "0 unless `generator_loss.one_hot.labels` says which classes are asked for (`random` or `cycle`)",
            "generator.class_embedding",
            self.generator.class_embedding,
        )
        replayed = self.replay.images(self.schedule.batch_size)
        require(
            self.replay.kind == "none" or (replayed >= 2 and self.schedule.batch_size - replayed != 1),
            f"a share of `schedule.batch_size` ({self.schedule.batch_size}) that takes at least two images from the "
            "replay, and at least two new ones or none",
            "replay.fraction",
            self.replay.fraction,
        )
        self._require_consistent_synthesis()
        require(
            self.teacher.crop_padding < self.data.image_size,
            f"less than `data.image_size` ({self.data.image_size}), whose reflection it is",
            "teacher.crop_padding",
            self.teacher.crop_padding,
        )

    def _require_consistent_synthesis(self) -> None:
        """Raise ConfigError if what synthesis and replay are asked for does not fit together."""
        asked = self.generator_loss.impressions.weight
        require(
            asked == 0 or (self.synthesis.kind == "images" and self.generator_loss.one_hot.labels != "argmax"),
            "0 unless `synthesis.kind` is `images` and `generator_loss.one_hot.labels` names the classes asked for",
            "generator_loss.impressions.weight",
            asked,
        )
        require(
            self.replay.kind not in ("generator", "autoencoder") or self.synthesis.kind == "generator",
            "another kind where `synthesis.kind` is not `generator`, such as `images`",
            "replay.kind",
            self.replay.kind,
        )
        contrast = self.generator_loss.contrast.weight
        require(
            contrast == 0 or self.synthesis.kind == "generator_and_noise",
            "0 unless `synthesis.kind` is `generator_and_noise`",
            "generator_loss.contrast.weight",
            contrast,
        )
        require(
            self.generator.class_embedding == 0 or self.synthesis.kind != "generator_and_noise",
            "0 where `synthesis.kind` is `generator_and_noise`, whose noise is fitted to the classes",
            "generator.class_embedding",
            self.generator.class_embedding,
        )
        momentum = self.generator_loss.batch_norm.momentum
        require(
            momentum == 0 or self.synthesis.kind == "generator_and_noise",
            "0 unless `synthesis.kind` is `generator_and_noise`, whose rounds it averages over",
            "generator_loss.batch_norm.momentum",
            momentum,
        )
        banked = self.replay.kind == "images"
        remembered = banked or self.replay.kind == "autoencoder"
        require(
            not remembered or self.synthesis.kind != "generator" or self.replay.fraction < 1,
            "less than 1 where a generator's images are remembered, or there would be none",
            "replay.fraction",
            self.replay.fraction,
        )
        require(
            not banked or self.synthesis.kind == "images" or self.generator.output != "standardised",
            "`normalised` or `pixels` where `replay.kind` is `images`, which are kept in a fixed range",
            "generator.output",
            self.generator.output,
        )
        require(
            not banked or self.replay.crop_padding < self.data.image_size,
            f"less than `data.image_size` ({self.data.image_size}), whose reflection it is",
            "replay.crop_padding",
            self.replay.crop_padding,
        )
