"""Statistics of a few paired runs. scipy where it has them; each function is of plain arrays and rounds nothing."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy  # its stats, which take a second to import, come with their first use

CONFIDENCE = 0.95
"""Of every interval."""
LEVEL = 0.05
"""Of every test, two-sided."""
POWER = 0.8
"""At which a smallest difference is called detectable."""
RESAMPLES = 9999
TOGETHER = 50
"""Samples that are resampled at a time: more of them leave the processor's cache."""
SEED = 20231002
"""Of the resampling: the same runs give the same interval."""
MOST_SEEDS = 1000
"""More than these are not asked for."""


@dataclass(frozen=True)
class Interval:
    """Of a mean."""

    low: float
    high: float


NO_INTERVAL = Interval(float("nan"), float("nan"))


def mean_interval(values: Sequence[float]) -> Interval:
    """Return the BCa bootstrap interval of the mean of ``values``; NaN for fewer than two.

    Of paired differences it is the seed-paired interval: whole seeds are drawn. Below about ten values bootstrap
    intervals are too narrow; docs/reports.md has the coverage that the tests measure. Efron (1987), "Better bootstrap
    confidence intervals"; scipy.stats.bootstrap.
    """
    return mean_intervals([values])[0]


def mean_intervals(samples: Sequence[Sequence[float]]) -> list[Interval]:
    """Return ``mean_interval`` of each of ``samples``, to the same bits, in less than half the time.

    Samples of one length are resampled together: each has the same draws as it would have alone.
    """
    found = [NO_INTERVAL] * len(samples)
    by_length: dict[int, list[int]] = {}
    for i, sample in enumerate(samples):
        values = np.asarray(sample, dtype=float)
        if len(values) >= 2 and np.ptp(values) <= 1e-9 * np.max(np.abs(values)):
            found[i] = Interval(float(values[0]), float(values[0]))  # equal but for rounding: scipy gives NaN
        elif len(values) >= 2:
            by_length.setdefault(len(values), []).append(i)
    for members in by_length.values():
        for start in range(0, len(members), TOGETHER):
            chunk = members[start : start + TOGETHER]
            drawn = scipy.stats.bootstrap(
                (np.array([samples[i] for i in chunk], dtype=float),), np.mean, confidence_level=CONFIDENCE, axis=-1,
                n_resamples=RESAMPLES, method="BCa", rng=np.random.default_rng(SEED), vectorized=True,
            ).confidence_interval  # fmt: skip
            for i, low, high in zip(chunk, drawn.low, drawn.high, strict=True):
                found[i] = Interval(float(low), float(high))
    return found


def sign_flip_p(differences: Sequence[float]) -> float:
    """Return the two-sided p of paired ``differences`` under flips of their signs; NaN for none.

    Exact up to 13 seeds: all 2^n patterns are counted. Fisher (1935), "The Design of Experiments", section 21;
    scipy.stats.permutation_test with ``permutation_type="samples"``.
    """
    sample = np.asarray(differences, dtype=float)
    if len(sample) < 2:  # scipy asks for two; a single one is as far from 0 as its mirror
        return 1.0 if len(sample) else float("nan")
    found = scipy.stats.permutation_test(
        (sample, np.zeros_like(sample)), _mean_difference, permutation_type="samples", vectorized=True,
        n_resamples=RESAMPLES, alternative="two-sided", rng=np.random.default_rng(SEED),
    )  # fmt: skip
    return float(min(1.0, found.pvalue))


def _mean_difference(one: np.ndarray, other: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.mean(one - other, axis=axis)


def smallest_p(seeds: int) -> float:
    """Return the smallest two-sided p that ``seeds`` pairs can reach: two patterns of signs out of 2^n."""
    return min(1.0, 2.0 ** (1 - seeds))


def fewest_seeds(tests: int) -> int:
    """Return how many pairs a sign-flip test needs to be able to show anything among so many ``tests``, by Holm."""
    return next(n for n in range(2, MOST_SEEDS) if smallest_p(n) * tests <= LEVEL)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return the p-values corrected for their number, by Holm (1979), "A simple sequentially rejective multiple test
    procedure"; NaN stays, and does not count.

    The k-th smallest of m is multiplied by m - k + 1, and none is below one that it follows.
    """
    ranked = sorted((name for name, p in p_values.items() if not np.isnan(p)), key=lambda name: p_values[name])
    corrected, highest = dict(p_values), 0.0
    for k, name in enumerate(ranked):
        highest = max(highest, min(1.0, (len(ranked) - k) * p_values[name]))
        corrected[name] = highest
    return corrected


def detectable_difference(sd: float, seeds: int) -> float:
    """Return the smallest true mean difference that a paired t-test of ``seeds`` pairs finds with chance ``POWER``.

    ``sd`` is that of the paired differences, whose unit it has. NaN for fewer than two seeds.
    """
    if seeds < 2 or np.isnan(sd):
        return float("nan")
    return sd * _detectable_effect(seeds)


@lru_cache
def _detectable_effect(seeds: int) -> float:
    """Return ``detectable_difference`` for an sd of 1, to which it is proportional."""
    low, high = 0.0, 1.0
    while _power(high, seeds) < POWER:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _power(middle, seeds) < POWER else (low, middle)
    return high


def _power(effect: float, seeds: int) -> float:
    """Return the power of a two-sided paired t-test: ``effect`` is the true difference over its sd.

    By the F distribution of t^2: of the t distribution's two tails, scipy gives NaN for the far one.
    """
    degrees = seeds - 1
    return float(scipy.stats.ncf.sf(scipy.stats.f.ppf(1 - LEVEL, 1, degrees), 1, degrees, effect**2 * seeds))


def seeds_needed(mean: float, sd: float, *, tests: int = 1) -> int | None:
    """Return how many pairs a true difference of ``mean``, spread by ``sd``, needs to be found with ``POWER``.

    Never fewer than the exact sign-flip test of ``tests`` rows needs for Holm's first step to be possible at all. None
    for more than ``MOST_SEEDS``, and where there is no estimate.
    """
    if np.isnan(mean) or np.isnan(sd) or mean == 0:
        return None
    least = fewest_seeds(tests)
    if sd == 0 or _power(abs(mean) / sd, least) >= POWER:
        return least
    effect = abs(mean) / sd
    # The power grows with the seeds. Of normal values whose sd is known, (1.96 + 0.84)^2 / effect^2 would do; the
    # t-test needs few more.
    known = ((scipy.stats.norm.ppf(1 - LEVEL / 2) + scipy.stats.norm.ppf(POWER)) / effect) ** 2
    if known > MOST_SEEDS:
        return None
    count = max(least + 1, math.ceil(known))
    while count <= MOST_SEEDS and _power(effect, count) < POWER:
        count += 1
    while count - 1 > least and _power(effect, count - 1) >= POWER:
        count -= 1
    return count if count <= MOST_SEEDS else None


def interquartile_mean(values: Sequence[float]) -> float:
    """Return the mean of the middle half of ``values`` (a quarter cut from each end, whole values only); NaN for none.

    Agarwal et al. (2021), "Deep reinforcement learning at the edge of the statistical precipice", section 4.3;
    scipy.stats.trim_mean.
    """
    return float(scipy.stats.trim_mean(np.asarray(values, dtype=float), 0.25)) if len(values) else float("nan")


def interquartile_interval(strata: Sequence[Sequence[float]]) -> Interval:
    """Return the percentile interval of the interquartile mean over all values, drawn anew within each of ``strata``.

    A stratum is a data set, its values the runs of one row there. NaN unless each has two values: one that is drawn
    again and again never varies, and the interval would be too narrow, or of no width at all.
    """
    samples = [np.asarray(values, dtype=float) for values in strata]
    if not samples or min(map(len, samples)) < 2:
        return NO_INTERVAL
    generator = np.random.default_rng(SEED)
    drawn = [values[generator.integers(0, len(values), (RESAMPLES, len(values)))] for values in samples]
    means = scipy.stats.trim_mean(np.concatenate(drawn, axis=1), 0.25, axis=1)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(low), float(high))
