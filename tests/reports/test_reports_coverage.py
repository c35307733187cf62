"""How often intervals hold the true value, by simulation, and the stratified interval against scipy's."""

import numpy as np
import pytest
from scipy import stats

from reports import statistics
from reports.statistics import interquartile_interval, interquartile_mean, mean_intervals

FEW, MANY = 200, 2000


@pytest.fixture(autouse=True)
def fewer_resamples(monkeypatch):
    monkeypatch.setattr(statistics, "RESAMPLES", 499)


def agrees(hits, draws, low, high):
    """Return whether ``hits`` are no surprise, one in a thousand on either side, for a coverage from low to high."""
    return stats.binom.ppf(0.001, draws, low) <= hits <= stats.binom.ppf(0.999, draws, high)


@pytest.mark.parametrize("draws", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("seeds", "low", "high"), [(3, 0.6, 0.85), (10, 0.85, 0.96)])
def test_of_paired_differences(draws, seeds, low, high):
    """What the seeds share, ten times the rest, drops out: coverage is that of a mean of so many, and narrow."""
    generator = np.random.default_rng(0)
    shared = generator.normal(50, 10, (draws, seeds))
    row, reference = (shared + generator.normal(mean, 1, (draws, seeds)) for mean in (2.0, 0.0))
    found = mean_intervals((row - reference).tolist())
    assert agrees(sum(each.low <= 2 <= each.high for each in found), draws, low, high)
    alone = mean_intervals(row.tolist())
    assert 3 * np.mean([i.high - i.low for i in found]) < np.mean([i.high - i.low for i in alone])


@pytest.mark.parametrize("draws", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
@pytest.mark.parametrize("centres", [(-0.5, 0.5), (-0.5, 0.0, 0.5)])
@pytest.mark.parametrize(("seeds", "low", "high"), [(3, 0.8, 0.93), (10, 0.88, 0.96)])
def test_of_the_interquartile_mean(draws, centres, seeds, low, high):
    """Data sets on both sides of 0, as far: the interquartile mean of all is 0 by symmetry."""
    generator = np.random.default_rng(0)
    found = [interquartile_interval([generator.normal(c, 1, seeds) for c in centres]) for _ in range(draws)]
    assert agrees(sum(each.low <= 0 <= each.high for each in found), draws, low, high)


@pytest.mark.parametrize("sizes", [(12,), (5, 9), (4, 6, 8)])
def test_the_stratified_interval_against_scipy(monkeypatch, sizes):
    """scipy draws each of several samples anew within itself, which is what strata are."""
    monkeypatch.setattr(statistics, "RESAMPLES", 9999)
    generator = np.random.default_rng(1)
    strata = [generator.normal(3 * i, 1, size) for i, size in enumerate(sizes)]

    def trimmed(*samples, axis):
        return stats.trim_mean(np.concatenate(samples, axis=axis), 0.25, axis=axis)

    reference = stats.bootstrap(
        strata, trimmed, n_resamples=9999, method="percentile", vectorized=True, rng=np.random.default_rng(2)
    )
    found = interquartile_interval(strata)
    # The ends are quantiles of 9999 draws: 0.1 of their sd is four times what they move by.
    assert (found.low, found.high) == pytest.approx(
        tuple(reference.confidence_interval), abs=0.1 * reference.standard_error
    )
    pooled = np.concatenate(strata)
    assert interquartile_mean(pooled) == pytest.approx(stats.trim_mean(pooled, 0.25))
    cut = int(len(pooled) / 4)  # whole values alone are cut
    assert interquartile_mean(pooled) == pytest.approx(np.sort(pooled)[cut : len(pooled) - cut].mean())
