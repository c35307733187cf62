"""At which stages the attention of teacher and student is compared, and whether the two networks can be."""

from dfkd.config import RunConfig, parse_stages
from dfkd.errors import ConfigError
from dfkd.models.classifier import Classifier

_WAY_OUT = "Set `student_loss.mhad.stages=penultimate`, or choose another `student.architecture`."


def compared_stages(config: RunConfig, *, teacher: Classifier, student: Classifier) -> tuple[int, ...]:
    """Return the indices, from 0, of the stages at which attention is compared; none means the penultimate feature.

    Two networks' stages correspond where they are as many and stage by stage have maps of one size.

    Raises:
        ConfigError: `student_loss.mhad.stages` asks for stages that do not correspond, or that do not exist.
    """
    choice = config.student_loss.mhad.stages
    sizes = teacher.stage_sizes, student.stage_sizes
    if choice == "penultimate" or (choice == "auto" and sizes[0] != sizes[1]):
        return ()
    told = "; ".join(
        f"{name} has {_maps(stage_sizes)}"
        for name, stage_sizes in zip((config.teacher.architecture, config.student.architecture), sizes, strict=True)
    )
    if choice in ("auto", "all"):
        if sizes[0] != sizes[1]:
            raise ConfigError(
                "With `student_loss.mhad.stages=all`, teacher and student must have the same number of stages with "
                f"maps of the same sizes, but {told}. {_WAY_OUT}"
            )
        return tuple(range(len(sizes[0])))
    numbers = parse_stages(choice)
    exist = min(map(len, sizes))
    if max(numbers) > exist:
        raise ConfigError(
            f"`student_loss.mhad.stages` must name stages that both networks have, 1 to {exist}, but it is {choice!r}: "
            f"{told}. {_WAY_OUT}"
        )
    unlike = [str(number) for number in numbers if sizes[0][number - 1] != sizes[1][number - 1]]
    if unlike:
        raise ConfigError(
            "`student_loss.mhad.stages` must name stages whose maps have the same size in both networks, but it is "
            f"{choice!r}, and stage {' and '.join(unlike)} has not: {told}. {_WAY_OUT}"
        )
    return tuple(number - 1 for number in numbers)


def _maps(sizes: tuple[int, ...]) -> str:
    return f"{len(sizes)} ({', '.join(map(str, sizes))} px)"
