"""What a run costs in passes of teacher and student, and rows of other rhythms brought to the cost of one of them.

A pass is one forward or one backward pass of one of the two networks over one image. Generators, projections and memory
are left out: the classifiers' passes are what methods spend most on, and what the literature counts.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from dfkd.config import REAL_METHODS, RunConfig
from dfkd.errors import ConfigError
from dfkd.overrides import with_overrides
from search_spaces import Grid

ROUNDS = "schedule.iterations_per_epoch"
"""What is changed to bring a run to another's cost."""

STEPS = ("schedule.generator_steps", "schedule.student_steps")
"""Of a round: changed where one alone is too dear, unless they are what the run is about."""


@dataclass(frozen=True)
class Passes:
    """Passes per image of each network, forward and backward together."""

    teacher: float
    """Of the teacher; a mean where not all images have the same."""
    student: float
    """Of the student."""

    @property
    def total(self) -> float:
        """Return both networks'."""
        return self.teacher + self.student


def generator_step(config: RunConfig) -> Passes:
    """Return what a synthesis step costs after the warm-up: the teacher forward and back for each view of an image that
    terms look at, and so the student where a term asks it."""
    if config.method in REAL_METHODS:
        return Passes(0, 0)
    views = 2 if config.generator_loss.contrast.weight > 0 else 1  # the contrast looks at a second view of each image
    return Passes(2 * views, 2 if config.generator_loss.adversarial.weight > 0 else 0)


def student_step(config: RunConfig) -> Passes:
    """Return what a student step costs: the teacher forward, if it is asked, the student forward and back, and what the
    replay asks of the teacher."""
    return Passes((0 if config.method == "scratch" else 1) + _recall(config), 2)


def _recall(config: RunConfig) -> float:
    """Return the teacher's passes of a replay by autoencoder, for each image of a student step.

    The teacher looks at recalled images once, forward and back, to tune their noise: those that the student is shown,
    and those that the autoencoder learns from. In its steps it sees what is learnt from, forward, and what is decoded,
    forward and back.
    """
    schedule, replay = config.schedule, config.replay
    if config.method in REAL_METHODS or replay.kind != "autoencoder":
        return 0
    recalled = replay.images(schedule.batch_size) / schedule.batch_size
    weights = config.generator_loss
    tuning = 2 * recalled if weights.one_hot.weight > 0 or weights.class_balance.weight > 0 else 0
    learning = tuning + 3 * ((1 - recalled) / 2 + recalled)
    return tuning + learning * min(1.0, replay.autoencoder.steps / schedule.student_steps)


def passes_of_round(config: RunConfig) -> float:
    """Return the passes per image of a round of generator and student steps."""
    schedule = config.schedule
    return generator_step(config).total * schedule.generator_steps + student_step(config).total * schedule.student_steps


def passes_of(config: RunConfig) -> int:
    """Return the passes of a whole run, over all its images."""
    schedule = config.schedule
    rounds = schedule.iterations_per_epoch * schedule.epochs - schedule.warm_up_rounds
    in_warm_up = generator_step(config).teacher * schedule.generator_steps * schedule.warm_up_rounds
    return round((passes_of_round(config) * rounds + in_warm_up) * schedule.batch_size)


def matched(config: RunConfig, passes: int, *, fixed: Collection[str] = ()) -> RunConfig:
    """Return ``config`` with as many rounds an epoch as cost closest to ``passes`` in all, and at least one.

    Where one round an epoch is already too dear, its generator and student steps are cut in proportion, unless one of
    them is among the fields that the run itself has ``fixed``.

    Raises:
        ConfigError: one round is too dear, and its steps are fixed.
    """
    # Of many rounds, because few have no warm-up.
    rounds = 1000 * passes / passes_of(with_overrides(config, {ROUNDS: 1000}))
    if rounds >= 1:
        return with_overrides(config, {ROUNDS: round(rounds)})
    steps = {key: getattr(config.schedule, key.removeprefix("schedule.")) for key in STEPS}
    if asked := [f"`{key}={steps[key]}`" for key in STEPS if key in fixed]:
        raise ConfigError(
            f"With `--match-budget` a round must cost no more than an epoch of the reference, but with "
            f"{' and '.join(asked)} it costs {1 / rounds:.2f} of one. Ask for fewer steps."
        )
    return with_overrides(config, {ROUNDS: 1} | {key: max(1, round(rounds * number)) for key, number in steps.items()})


def match_rows(grid: Grid, rows: Mapping[str, RunConfig], reference: str) -> dict[str, RunConfig]:
    """Return ``rows`` of the grid with the data-free ones brought to the cost of the row ``reference``.

    Upper bounds stay as they are: as many student steps of as many images as the reference.

    Raises:
        ConfigError: the reference learns from real images, or a row fixes how many rounds it has, or steps of a round
            that are too many.
    """
    if rows[reference].learns_from_real_images:
        raise ConfigError(
            f"`--match-budget` must have a data-free row to match, but {grid.path}'s reference is {reference!r}, "
            "which learns from real images. Name another as `reference`."
        )
    own = {row.name: row.overrides for row in grid.rows}
    for name in rows:
        if ROUNDS in own[name]:
            raise ConfigError(
                f"`--match-budget` must be free to choose a row's rounds, but {name!r} of {grid.path} sets "
                f"`{ROUNDS}`. Leave `--match-budget` out, or edit a copy of the file."
            )
    passes = passes_of(rows[reference])
    return {
        name: matched(config, passes, fixed=own[name]) if _is_matched(name, config, reference) else config
        for name, config in rows.items()
    }


def _is_matched(name: str, config: RunConfig, reference: str) -> bool:
    """Return whether a row's cost is brought to the reference's: upper bounds' is not."""
    return name != reference and not config.learns_from_real_images


def passes_words(rows: Mapping[str, RunConfig], reference: str) -> str | None:
    """Return what each data-free row costs beside the reference, in a sentence; None where all cost the same."""
    base = passes_of(rows[reference])
    others = {name: passes_of(config) / base for name, config in rows.items() if _is_matched(name, config, reference)}
    differing = {name: share for name, share in others.items() if abs(share - 1) > 0.005}
    if rows[reference].learns_from_real_images or not differing:
        return None
    listed = ", ".join(f"{name} {share:.2f}" for name, share in differing.items())
    return f"Passes of teacher and student a cell: {base:,} in {reference!r}; times that: {listed}."
