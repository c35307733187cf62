"""Statistics of a few paired runs. scipy where it has them; each function is of plain arrays and rounds nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
"""Of every interval."""
LEVEL = 0.05
"""Of every test, two-sided."""
POWER = 0.8
"""At which a smallest difference is called detectable."""
RESAMPLES = 9999
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
    sample = np.asarray(values, dtype=float)
    if len(sample) < 2:
        return NO_INTERVAL
    if np.ptp(sample) <= 1e-9 * np.max(
        np.abs(sample)
    ):  # equal but for rounding: scipy warns of a degenerate distribution, and gives NaN
        return Interval(float(sample[0]), float(sample[0]))
    found = stats.bootstrap(
        (sample,), np.mean, confidence_level=CONFIDENCE, n_resamples=RESAMPLES, method="BCa",
        rng=np.random.default_rng(SEED), vectorized=True,
    ).confidence_interval  # fmt: skip
    return Interval(float(found.low), float(found.high))


def sign_flip_p(differences: Sequence[float]) -> float:
    """Return the two-sided p of paired ``differences`` under flips of their signs; NaN for none.

    Exact up to 13 seeds: all 2^n patterns are counted. Fisher (1935), "The Design of Experiments", section 21;
    scipy.stats.permutation_test with ``permutation_type="samples"``.
    """
    sample = np.asarray(differences, dtype=float)
    if len(sample) < 2:  # scipy asks for two; a single one is as far from 0 as its mirror
        return 1.0 if len(sample) else float("nan")
    found = stats.permutation_test(
        (sample, np.zeros_like(sample)), _mean_difference, permutation_type="samples", vectorized=True,
        n_resamples=RESAMPLES, alternative="two-sided", rng=np.random.default_rng(SEED),
    )  # fmt: skip
    return float(min(1.0, found.pvalue))


def _mean_difference(one: np.ndarray, other: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.mean(one - other, axis=axis)


def smallest_p(seeds: int) -> float:
    """Return the smallest two-sided p that ``seeds`` pairs can reach: two patterns of signs out of 2^n."""
    return min(1.0, 2.0 ** (1 - seeds))


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
    if sd == 0:
        return 0.0
    low, high = 0.0, 1.0
    while _power(high, seeds) < POWER:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _power(middle, seeds) < POWER else (low, middle)
    return float(high * sd)


def _power(effect: float, seeds: int) -> float:
    """Return the power of a two-sided paired t-test: ``effect`` is the true difference over its sd."""
    degrees, shift = seeds - 1, effect * np.sqrt(seeds)
    critical = stats.t.ppf(1 - LEVEL / 2, degrees)
    return float(stats.nct.sf(critical, degrees, shift) + stats.nct.cdf(-critical, degrees, shift))


def seeds_needed(mean: float, sd: float, *, tests: int = 1) -> int | None:
    """Return how many pairs a true difference of ``mean``, spread by ``sd``, needs to be found with ``POWER``.

    Never fewer than the exact sign-flip test of ``tests`` rows needs for Holm's first step to be possible at all. None
    for more than ``MOST_SEEDS``, and where there is no estimate.
    """
    if np.isnan(mean) or np.isnan(sd) or mean == 0:
        return None
    least = next(n for n in range(2, MOST_SEEDS) if smallest_p(n) * tests <= LEVEL)
    if sd == 0 or _power(abs(mean) / sd, least) >= POWER:
        return least
    if _power(abs(mean) / sd, MOST_SEEDS) < POWER:
        return None
    low, high = least, MOST_SEEDS  # the power grows with the seeds
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _power(abs(mean) / sd, middle) < POWER else (low, middle)
    return high


def interquartile_mean(values: Sequence[float]) -> float:
    """Return the mean of the middle half of ``values`` (a quarter cut from each end, whole values only); NaN for none.

    Agarwal et al. (2021), "Deep reinforcement learning at the edge of the statistical precipice", section 4.3;
    scipy.stats.trim_mean.
    """
    return float(stats.trim_mean(np.asarray(values, dtype=float), 0.25)) if len(values) else float("nan")


def interquartile_interval(strata: Sequence[Sequence[float]]) -> Interval:
    """Return the percentile interval of the interquartile mean over all values, drawn anew within each of ``strata``.

    A stratum is a data set, its values the runs of one row there. NaN unless there are two values in all.
    """
    samples = [np.asarray(values, dtype=float) for values in strata if len(values)]
    if sum(map(len, samples)) < 2:
        return NO_INTERVAL
    generator = np.random.default_rng(SEED)
    drawn = [values[generator.integers(0, len(values), (RESAMPLES, len(values)))] for values in samples]
    means = stats.trim_mean(np.concatenate(drawn, axis=1), 0.25, axis=1)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(low), float(high))
