"""How much each parameter of a search matters, and how far that rests on the trials that happened to be drawn."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.importance import BaseImportanceEvaluator, FanovaImportanceEvaluator, PedAnovaImportanceEvaluator
from optuna.importance import get_param_importances as share_out
from optuna.search_space import intersection_search_space
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from harness.store import StoreError

RESAMPLES = 100
"""Of the trials, for the intervals."""
SEED = 0
"""Of the resampling, and of the forest."""
ENOUGH = 10
"""Finished trials below which nothing is said."""
FEW = 50
"""Finished trials below which there is a warning: of fewer, the better tenth that PED-ANOVA goes by is less than the
five trials that Optuna asks for."""
TREES = 16
"""Of fANOVA's forest; Optuna's 64 move the shares by less than the trials do, and take four times as long."""


@dataclass(frozen=True)
class Evaluator:
    """A way to measure importance, from Optuna."""

    title: str
    make: Callable[[], BaseImportanceEvaluator]
    conditional: bool
    """Whether it can judge a parameter that some trials lack."""
    about: str
    """What is shared out, in words."""


EVALUATORS = {
    "ped-anova": Evaluator(
        "PED-ANOVA", PedAnovaImportanceEvaluator, True, "what sets the better tenth of the trials apart"
    ),
    "fanova": Evaluator(
        "fANOVA",
        lambda: FanovaImportanceEvaluator(n_trees=TREES, seed=SEED),
        False,
        f"the variance that each brings alone, in a forest of {TREES} trees",
    ),
}
"""Watanabe, Bansal and Hutter (2023), "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary
Subspaces"; Hutter, Hoos and Leyton-Brown (2014), "An Efficient Approach for Assessing Hyperparameter Importance"."""


@dataclass(frozen=True)
class Importances:
    """Of the parameters of a search."""

    shares: dict[str, float]
    """By parameter, the largest first; they add up to 1, whatever the trials say."""
    resampled: dict[str, list[float]]
    """The same of ``RESAMPLES`` resamplings of the trials."""
    trials: int
    """Finished ones, which all of this rests on."""
    left_out: tuple[str, ...]
    """Parameters that the evaluator cannot judge, because some finished trials lack them."""

    @property
    def resamples(self) -> int:
        """Return how often the trials were resampled."""
        return len(next(iter(self.resampled.values())))


def parameter_importances(
    trials: Sequence[FrozenTrial],
    *,
    evaluator: str = "ped-anova",
    direction: StudyDirection = StudyDirection.MAXIMIZE,
    objective: int = 0,
) -> Importances:
    """Return how much each parameter matters to the objective at a position, which is sought in ``direction``.

    Trials that failed or were stopped early do not count. Equal calls give equal numbers.

    Raises:
        StoreError: there are fewer than ``ENOUGH`` finished trials, their values are all the same, or the evaluator can
            judge none of their parameters.
    """
    complete = [
        _valued(trial, trial.values[objective])
        for trial in trials
        if trial.state == TrialState.COMPLETE and trial.values
    ]
    if len(complete) < ENOUGH:
        raise StoreError(
            f"Importances need at least {ENOUGH} finished trials, but the search has {len(complete)} of {len(trials)}. "
            "Give `dfkd search` more with `--trials`."
        )
    if _constant(complete):
        raise StoreError(
            f"Importances need trials of different values, but all {len(complete)} finished ones have the same."
        )
    asked = EVALUATORS[evaluator]
    every = sorted({name for trial in complete for name in trial.params})
    judged = every if asked.conditional else sorted(intersection_search_space(complete))
    if not judged:
        raise StoreError(f"{asked.title} needs a parameter that every finished trial has, but there is none.")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    shares = _shares(complete, judged, asked, direction)
    generator = np.random.default_rng(SEED)
    resampled: dict[str, list[float]] = {name: [] for name in shares}
    for _ in range(RESAMPLES):
        again = _shares(_resampled(complete, generator), judged, asked, direction)
        for name, values in resampled.items():
            values.append(again.get(name, 0.0))
    return Importances(shares, resampled, len(complete), tuple(name for name in every if name not in judged))


def _valued(trial: FrozenTrial, value: float) -> FrozenTrial:
    """Return a finished trial with one value alone."""
    return optuna.trial.create_trial(value=value, params=trial.params, distributions=trial.distributions)


def _constant(trials: Sequence[FrozenTrial]) -> bool:
    return len({trial.values[0] for trial in trials}) == 1


def _resampled(trials: Sequence[FrozenTrial], generator: np.random.Generator) -> list[FrozenTrial]:
    """Return as many of ``trials``, drawn with replacement; drawn again if their values are all the same."""
    while True:
        drawn = [trials[i] for i in generator.integers(0, len(trials), len(trials))]
        if not _constant(drawn):
            return drawn


def _shares(
    trials: Sequence[FrozenTrial], names: Sequence[str], evaluator: Evaluator, direction: StudyDirection
) -> dict[str, float]:
    """Return the shares of those of ``names`` that a trial has."""
    study = optuna.create_study(direction=direction)
    study.add_trials(trials)
    present = [name for name in names if any(name in trial.params for trial in trials)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PED-ANOVA is marked as experimental
        found = share_out(study, evaluator=evaluator.make(), params=present)
    return {name: float(share) for name, share in found.items()}
