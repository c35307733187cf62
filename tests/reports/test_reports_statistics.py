"""Each statistic against a value by hand and against scipy or a closed form; intervals by simulation."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reports import statistics
from reports.statistics import (
    detectable_difference,
    holm,
    interquartile_interval,
    interquartile_mean,
    mean_interval,
    seeds_needed,
    sign_flip_p,
    smallest_p,
)

NUMBERS = st.lists(st.integers(-50, 50).map(float), min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        # All 2^3 patterns of 1, 2, 3: only +++ and --- have a mean as far from 0.
        ([1.0, 2.0, 3.0], 2 / 8),
        # |1 + 2 - 3| = 0: every pattern is as far.
        ([1.0, 2.0, -3.0], 1.0),
        # Sum 4 of (1, -1, 4): +-4 from (1, -1, 4), (-1, 1, 4) and their mirrors; +-6 from (1, 1, 4) and its mirror.
        ([1.0, -1.0, 4.0], 6 / 8),
        ([5.0], 1.0),
        ([1.0, 1.0, 1.0, 1.0, 1.0], 2 / 32),
        ([0.0, 0.0], 1.0),
    ],
)
def test_sign_flips_by_hand(differences, p):
    assert sign_flip_p(differences) == pytest.approx(p)


@given(NUMBERS)
def test_sign_flips_against_every_pattern(differences):
    patterns = np.array(np.meshgrid(*[[-1, 1]] * len(differences))).reshape(len(differences), -1).T
    sums = np.abs(patterns @ np.array(differences))
    assert sign_flip_p(differences) == pytest.approx(np.mean(sums >= abs(sum(differences)) - 1e-9))


@given(NUMBERS)
def test_no_p_is_below_the_smallest(differences):
    assert sign_flip_p(differences) >= smallest_p(len(differences)) - 1e-12
    assert sign_flip_p(differences) == sign_flip_p([-each for each in differences])


def test_smallest_p():
    # Five seeds cannot reach 0.05, six can.
    assert [smallest_p(n) for n in (0, 1, 3, 5, 6)] == [1.0, 1.0, 0.25, 0.0625, 0.03125]


def test_p_of_nothing_is_nan():
    assert math.isnan(sign_flip_p([]))


def test_holm_by_hand():
    # Sorted: 0.01 x 4 = 0.04; 0.02 x 3 = 0.06; 0.03 x 2 = 0.06; 0.2 x 1 = 0.2. The NaN is no test.
    p = {"a": 0.02, "b": 0.01, "c": float("nan"), "d": 0.2, "e": 0.03}
    corrected = holm(p)
    assert {name: corrected[name] for name in "abde"} == pytest.approx({"a": 0.06, "b": 0.04, "d": 0.2, "e": 0.06})
    assert math.isnan(corrected["c"])
    # 0.04 x 2 = 0.08 stands, 0.05 x 1 = 0.05 is lifted to it.
    assert holm({"a": 0.04, "b": 0.05}) == pytest.approx({"a": 0.08, "b": 0.08})
    assert holm({"a": 0.7, "b": 0.8}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


def test_holm_begins_with_the_smallest():
    # Smallest first: 0.02 x 3 = 0.06, then 0.03 x 2 = 0.06, then 0.04 x 1, lifted to 0.06. From the largest, 0.04 x 3 =
    # 0.12; with Hochberg's minima from above instead of Holm's maxima from below, 0.04 each.
    assert holm({"b": 0.03, "c": 0.04, "a": 0.02}) == pytest.approx({"a": 0.06, "b": 0.06, "c": 0.06})
    # 0.001 x 3, 0.02 x 2, 0.04 x 1: in this order already, and none is lifted.
    assert holm({"z": 0.04, "y": 0.001, "x": 0.02}) == pytest.approx({"y": 0.003, "x": 0.04, "z": 0.04})


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_lies_between_the_p_and_bonferroni(values):
    p = {str(i): value for i, value in enumerate(values)}
    for name, value in holm(p).items():
        assert p[name] <= value <= min(1.0, len(p) * p[name]) + 1e-12


def test_interval_against_scipy():
    values = [1.0, 2.0, 4.0, 8.0, 9.0]
    found = mean_interval(values)
    reference = stats.bootstrap((values,), np.mean, n_resamples=9999, method="BCa", rng=np.random.default_rng(1))
    assert (found.low, found.high) == pytest.approx(
        tuple(reference.confidence_interval), abs=0.21
    )  # means lie 0.2 apart
    assert mean_interval(values) == found  # the same to the last bit, whenever


def test_interval_of_two_values_is_between_them():
    # Resampled means are 0, 1 or 2, with probabilities 1/4, 1/2, 1/4: 95 % holds all of them.
    found = mean_interval([0.0, 2.0])
    assert (found.low, found.high) == (0.0, 2.0)


def test_interval_of_equal_values_is_a_point_and_of_one_is_none():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mean_interval([3.0, 3.0, 3.0]) == statistics.Interval(3.0, 3.0)
        assert math.isnan(mean_interval([3.0]).low)
        assert math.isnan(mean_interval([]).high)


@given(st.lists(st.integers(-20, 20).map(float), min_size=2, max_size=6, unique=True), st.integers(-30, 30))
def test_interval_moves_with_its_values(values, shift):
    one, other = mean_interval(values), mean_interval([value + shift for value in values])
    assert (other.low - shift, other.high - shift) == pytest.approx((one.low, one.high))
    assert min(values) <= one.low <= one.high <= max(values)


def test_intervals_together_are_those_of_each_alone_to_the_last_bit():
    samples = np.random.default_rng(3).normal(size=(statistics.TOGETHER + 2, 4)).tolist()
    samples[1:1] = [[], [5.0], [2.0, 2.0, 2.0], [1.0, 2.0, 4.0]]
    together = statistics.mean_intervals(samples)
    assert len(together) == len(samples)
    for sample, interval in zip(samples, together, strict=True):
        alone = mean_interval(sample)
        assert interval == alone or (math.isnan(alone.low) and math.isnan(interval.low))
    # Of the values as scipy has them, without anything of ours around.
    reference = stats.bootstrap(
        (samples[-1],), np.mean, n_resamples=9999, method="BCa", rng=np.random.default_rng(statistics.SEED)
    ).confidence_interval
    assert together[-1] == statistics.Interval(float(reference.low), float(reference.high))


@pytest.mark.parametrize(("seeds", "least", "most"), [(3, 0.6, 0.85), (10, 0.85, 0.96)])
def test_coverage(monkeypatch, seeds, least, most):
    """Normal values, 200 times: three seeds hold the true mean far less often than 95 %, ten almost as often."""
    monkeypatch.setattr(statistics, "RESAMPLES", 499)
    generator = np.random.default_rng(0)
    found = [mean_interval(generator.normal(0, 1, seeds)) for _ in range(200)]
    assert least < np.mean([each.low <= 0 <= each.high for each in found]) < most


def test_detectable_difference_against_simulation():
    # With 5 pairs and an sd of 2, a paired t-test finds this difference in 80 % of samples.
    difference = detectable_difference(2.0, 5)
    samples = np.random.default_rng(0).normal(difference, 2.0, (4000, 5))
    assert np.mean(stats.ttest_1samp(samples, 0, axis=1).pvalue < 0.05) == pytest.approx(0.8, abs=0.03)


def test_detectable_difference_closed_form_for_many_seeds():
    # Normal limit: (1.960 + 0.842) sd / sqrt(n) = 2.802 / sqrt(400) = 0.140.
    assert detectable_difference(1.0, 400) == pytest.approx(0.140, abs=0.001)
    assert detectable_difference(0.0, 3) == 0.0
    assert math.isnan(detectable_difference(1.0, 1))
    assert math.isnan(detectable_difference(float("nan"), 3))


def test_seeds_needed():
    # Normal limit: (2.802 / 0.5)^2 = 31.4; the t-test's own spread adds about two.
    assert seeds_needed(1.0, 2.0) in (33, 34)
    # However large the effect: 2^(1 - n) <= 0.05 needs 6 seeds, and <= 0.05 / 3 needs 7.
    assert seeds_needed(100.0, 1.0) == 6
    assert seeds_needed(100.0, 1.0, tests=3) == 7
    assert seeds_needed(5.0, 0.0) == 6
    assert seeds_needed(1.3125, 0.3125) == 6  # scipy's nct.cdf is NaN here
    assert seeds_needed(0.001, 10.0) is None  # more than a thousand
    assert seeds_needed(0.0, 1.0) is None
    assert seeds_needed(1.0, float("nan")) is None


@given(st.floats(0.5, 3), st.floats(0.1, 3))
def test_needed_seeds_detect_the_difference(mean, sd):
    needed = seeds_needed(mean, sd)
    assert detectable_difference(sd, needed) <= mean * (1 + 1e-6)
    # 6 are the fewest that an exact test can do with; else one fewer would not be enough.
    assert needed == 6 or detectable_difference(sd, needed - 1) >= mean * (1 - 1e-6)


def test_interquartile_mean_by_hand():
    # Eight values: two off each end of 1, 2, 3, 4, 5, 60, 70, 80 leave (3 + 4 + 5 + 60) / 4.
    assert interquartile_mean([80.0, 1.0, 5.0, 60.0, 2.0, 70.0, 3.0, 4.0]) == 18.0
    # Six: 1.5 is cut to 1 off each end.
    assert interquartile_mean([0.0, 1.0, 2.0, 3.0, 4.0, 100.0]) == 2.5
    assert interquartile_mean([7.0]) == 7.0
    assert math.isnan(interquartile_mean([]))


def test_interquartile_interval_draws_within_data_sets():
    # Within each data set all values are equal, so every draw is the same: (10 + 20) / 2 of the middle half.
    found = interquartile_interval([[10.0, 10.0, 10.0], [20.0, 20.0, 20.0]])
    assert (found.low, found.high) == (15.0, 15.0)
    pooled = interquartile_interval([[10.0, 10.0, 10.0, 20.0, 20.0, 20.0]])
    assert pooled.low < 15.0 < pooled.high
    # One value that is drawn again and again never varies: (50, 60) would get an interval of no width.
    for strata in ([], [[1.0], []], [[50.0], [60.0]], [[50.0], [55.0, 56.0]]):
        assert math.isnan(interquartile_interval(strata).low)


def test_interquartile_interval_holds_the_estimate():
    strata = [[1.0, 4.0, 9.0, 3.0], [2.0, 8.0, 5.0]]
    found = interquartile_interval(strata)
    assert found.low < interquartile_mean([value for values in strata for value in values]) < found.high
