"""The next point to try, as a function of what is known: the same knowledge and number give the same point.

A sampler is made anew for every suggestion and seeded by the suggestion's number, so nothing that it remembers is lost
when the process is.
"""

import hashlib
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState
from scipy.stats import qmc

from harness.search.points import Point
from search_spaces import Choices, Parameter, Range, Space


def _tpe(seed: int) -> BaseSampler:
    # Grouped, so that parameters that only count under a condition are modelled together where they do.
    return TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)


SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": _tpe,
    "gp": lambda seed: GPSampler(seed=seed),
    "nsga2": lambda seed: NSGAIISampler(seed=seed),
    "random": lambda seed: RandomSampler(seed=seed),
}
"""Optuna's samplers by name; ``qmc`` is our own, because Optuna's draws conditional parameters at random."""

NAMES = (*SAMPLERS, "qmc")
"""What ``--sampler`` may be."""


def distribution(domain: Range | Choices) -> BaseDistribution:
    """Return the domain as Optuna has it."""
    if isinstance(domain, Choices):
        return CategoricalDistribution(domain.options)
    if isinstance(domain.low, int) and isinstance(domain.high, int):
        return IntDistribution(domain.low, domain.high, log=domain.log, step=int(domain.step or 1))
    return FloatDistribution(domain.low, domain.high, log=domain.log, step=domain.step)


def distributions(space: Space, point: Iterable[str]) -> dict[str, BaseDistribution]:
    """Return the distributions of the parameters that a point has."""
    names = set(point)
    return {parameter.key: distribution(parameter.domain) for parameter in space.parameters if parameter.key in names}


def suggest(
    sampler: str,
    space: Space,
    *,
    trials: Iterable[FrozenTrial],
    directions: Sequence[StudyDirection],
    seed: int,
    number: int,
) -> tuple[Point, dict[str, Any]]:
    """Return the ``number``-th suggestion (from 0) and what Optuna must find noted beside it next time.

    Args:
        sampler: one of ``NAMES``.
        space: what may be suggested.
        trials: what is known; finished ones, those under way and those stopped early count, failed ones do not.
        directions: what is sought, for each value of a trial.
        seed: of the study.
        number: how many suggestions came before.
    """
    if sampler == "qmc":
        return _sobol(space, seed=seed, number=number), {}
    own = int.from_bytes(hashlib.sha256(f"{seed} {number}".encode()).digest()[:4])
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(directions=directions, sampler=SAMPLERS[sampler](own))
        study.add_trials([trial for trial in trials if trial.state != TrialState.FAIL])
        trial = study.ask()
        point = _walk(space, lambda parameter: _ask(trial, parameter))
    return point, study.trials[-1].system_attrs


def _walk(space: Space, choose: Callable[[Parameter], Any]) -> Point:
    """Return the point that ``choose`` makes of the parameters that count, one after the other."""
    point: Point = {}
    for parameter in space.parameters:
        if parameter.counts(point):
            point[parameter.key] = parameter.domain.settle(choose(parameter))
    return point


def _ask(trial: Trial, parameter: Parameter) -> Any:
    domain = parameter.domain
    if isinstance(domain, Choices):
        return trial.suggest_categorical(parameter.key, domain.options)
    if isinstance(domain.low, int) and isinstance(domain.high, int):
        return trial.suggest_int(parameter.key, domain.low, domain.high, log=domain.log, step=int(domain.step or 1))
    return trial.suggest_float(parameter.key, domain.low, domain.high, log=domain.log, step=domain.step)


def _sobol(space: Space, *, seed: int, number: int) -> Point:
    """Return the ``number``-th point of a scrambled Sobol sequence over all parameters, whether they count or not."""
    sequence = qmc.Sobol(len(space.parameters), scramble=True, seed=seed)
    if number > 0:  # SciPy refuses to skip none
        sequence.fast_forward(number)
    shares = dict(zip(space.keys, sequence.random(1)[0].tolist(), strict=True))
    return _walk(space, lambda parameter: parameter.domain.at(shares[parameter.key]))
