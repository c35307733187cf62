"""Which trials are the best, and which belong to a front."""

from collections.abc import Iterable, Sequence

from optuna.trial import FrozenTrial, TrialState

from harness.search.objectives import Objective


def complete(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials whose cells were run to their ends; Optuna gives values to others too."""
    return [trial for trial in trials if trial.state == TrialState.COMPLETE]


def ranked(trials: Iterable[FrozenTrial], objectives: Sequence[Objective]) -> list[FrozenTrial]:
    """Return the complete trials, the best first, by the first objective and then by the others in their order."""

    def rank(trial: FrozenTrial) -> list[float]:
        return [-objective.gain(value, 0.0) for objective, value in zip(objectives, trial.values, strict=False)]

    return sorted(complete(trials), key=rank)


def best_trials(trials: Iterable[FrozenTrial], objectives: Sequence[Objective]) -> list[FrozenTrial]:
    """Return the Pareto front: the complete trials that no other one beats in one objective and equals in the rest.

    The best by the first objective comes first. With one objective these are all of its best trials.
    """
    candidates = ranked(trials, objectives)
    return [trial for trial in candidates if not any(_beats(other, trial, objectives) for other in candidates)]


def _beats(one: FrozenTrial, other: FrozenTrial, objectives: Sequence[Objective]) -> bool:
    pairs = zip(objectives, one.values, other.values, strict=True)
    return one.values != other.values and all(objective.gain(mine, others) >= 0 for objective, mine, others in pairs)


def distinct_best(
    trials: Iterable[FrozenTrial], objectives: Sequence[Objective], *, count: int, besides: str
) -> list[FrozenTrial]:
    """Return the ``count`` best trials of different cells, without the cell ``besides``.

    With several objectives only those of the front count.
    """
    candidates = ranked(trials, objectives) if len(objectives) == 1 else best_trials(trials, objectives)
    by_cell: dict[str, FrozenTrial] = {}
    for trial in candidates:
        by_cell.setdefault(trial.user_attrs["cell"], trial)
    by_cell.pop(besides, None)
    return list(by_cell.values())[:count]
