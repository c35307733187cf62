"""Curves over epochs and over time: what seeds share, what they do not, and when they reach a level."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cli.figure import Over
from harness.records import Plan, PlannedCell
from reports import ReportError
from reports.curves import AXES, across_seeds, curve_table, reached, reached_in_words, seed_curves, teacher_level
from reports.figures import training_curves


def plan_of(*rows, seeds=(0, 1), teacher=0.8):
    cells = tuple(PlannedCell(f"{row}/{seed}", row, seed) for row in rows for seed in seeds)
    return Plan("k", "g", "T", rows, rows[0], seeds, cells, {"teacher_accuracy": teacher})


def log(seconds, accuracies):
    """Return epochs that took so many seconds on the processor, and twice as many on the clock."""
    return [
        {"epoch": i, "cpu_seconds": float(s), "seconds": 2.0 * s, "test_accuracy": a}
        for i, (s, a) in enumerate(zip(seconds, accuracies, strict=True), start=1)
    ]


PLAN = plan_of("a", "b")
LOGS = {
    "a/0": log([60, 60, 60], [0.1, 0.3, 0.5]),  # 1, 2, 3 minutes
    "a/1": log([120, 120], [0.2, 0.6]),  # 2, 4 minutes
    "b/0": log([30], [0.4]),
    "b/1": [],
}


def test_the_command_line_has_every_axis():
    assert [each.value for each in Over] == list(AXES)


def test_training_curves_are_means_with_a_band():
    plan = plan_of("a", "b")
    logs = {f"a/{seed}": [{"epoch": e, "test_accuracy": (e + seed) / 10} for e in (1, 2)] for seed in (0, 1)}
    logs |= {"b/0": [{"epoch": 1, "test_accuracy": 0.5}], "b/1": []}
    (axes,) = training_curves(logs, plan=plan).axes
    # Epoch 1: 10 and 20; epoch 2: 20 and 30.
    assert axes.lines[0].get_ydata().tolist() == pytest.approx([15.0, 25.0])
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((10.0, 30.0))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a (n = 2)", "b (n = 1)"]
    with pytest.raises(ReportError, match="no run of 'g' has 'validation_accuracy'"):
        training_curves(logs, plan=plan, metric="validation_accuracy")


def test_over_time_seeds_are_interpolated_where_all_of_them_have_been():
    # All cover minutes 2 to 3. At 2: 30 and 20. At 3: 50, and half way from 20 to 60.
    table = curve_table(seed_curves(LOGS, plan=PLAN, metric="test_accuracy", over="cpu-minutes"), over="cpu-minutes")
    assert table.columns.tolist() == ["row", "cpu_minutes", "mean", "low", "high", "seeds"]
    assert table.to_numpy().tolist() == [
        ["a", 2.0, pytest.approx(25), pytest.approx(20), pytest.approx(30), 2],
        ["a", 3.0, pytest.approx(45), pytest.approx(40), pytest.approx(50), 2],
        ["b", 0.5, pytest.approx(40), pytest.approx(40), pytest.approx(40), 1],
    ]
    (axes,) = training_curves(LOGS, plan=PLAN, over="wall-minutes").axes
    assert axes.lines[0].get_xdata().tolist() == [4.0, 6.0]
    assert axes.lines[0].get_ydata().tolist() == pytest.approx([25, 45])
    assert axes.get_xlabel() == "minutes of training"
    assert axes.get_xlim()[0] == 0


def test_epochs_without_the_metric_take_their_time_all_the_same():
    records = log([60, 60, 60], [0.1, 0.2, 0.3])
    del records[1]["test_accuracy"]
    curves = seed_curves({"a/0": records, "a/1": []}, plan=plan_of("a"), metric="test_accuracy", over="cpu-minutes")
    assert curves["a"][0].to_dict() == pytest.approx({1.0: 10.0, 3.0: 30.0})


def test_a_level_counts_as_reached_at_the_end_of_the_first_epoch_that_has_it():
    curves = seed_curves(LOGS, plan=PLAN, metric="test_accuracy", over="cpu-minutes")
    assert [reached(curves["a"][seed], 50.0) for seed in (0, 1)] == [3.0, 4.0]
    assert reached(curves["a"][0], 50.1) == float("inf")
    # 3 and 4 minutes; 55 % is reached by seed 1 alone, and b never has either.
    assert reached_in_words(curves, 50.0, over="cpu-minutes") == [
        "a: seed 0 3.0, seed 1 4.0; median of 2: 3.5 CPU minutes",
        "b: seed 0 not in 0.5; median of 1: not reached",
    ]
    assert reached_in_words(curves, 55.0, over="cpu-minutes")[0] == (
        "a: seed 0 not in 3.0, seed 1 4.0; median of 2: not reached"
    )
    epochs = seed_curves(LOGS, plan=PLAN, metric="test_accuracy")
    assert reached_in_words(epochs, 20.0)[0] == "a: seed 0 2, seed 1 1; median of 2: 1.5 epochs"
    # One of three that never does leaves the median to the others.
    three = {"a": {0: epochs["a"][0], 1: epochs["a"][1], 2: pd.Series([1.0], index=[1])}}
    assert reached_in_words(three, 50.0)[0].endswith("seed 2 not in 1; median of 3: 3 epochs")


def test_the_line_is_at_a_share_of_the_teachers_accuracy_and_a_triangle_where_it_is_reached():
    (axes,) = training_curves(LOGS, plan=PLAN, over="cpu-minutes", teacher_share=0.5).axes
    shown = [text.get_text() for text in axes.get_legend().get_texts()]
    assert shown == ["a (n = 2)", "b (n = 1)", "50 % of the teacher's 80.00 %", "reached, median seed"]
    line = next(line for line in axes.lines if line.get_label() == shown[2])
    assert list(line.get_ydata()) == pytest.approx([40, 40])  # half of 80
    # a: minutes 3 and 4; b: half a minute, of its one seed.
    triangles = [tuple(each.get_data()) for each in axes.lines if each.get_marker() == "v" and len(each.get_xdata())]
    assert [(float(x[0]), float(y[0])) for x, y in triangles] == [(3.5, pytest.approx(40)), (0.5, pytest.approx(40))]


def test_what_cannot_be_drawn_is_refused():
    untimed = {**LOGS, "a/0": [{"epoch": 1, "test_accuracy": 0.5}]}
    with pytest.raises(ReportError, match="needs 'cpu_seconds' of every epoch, but the log of 'a', seed 0, lacks it"):
        training_curves(untimed, plan=PLAN, over="cpu-minutes")
    apart = {"a/0": log([60, 60], [0.1, 0.2]), "a/1": log([180, 60], [0.1, 0.2])}  # up to minute 2, from minute 3
    with pytest.raises(ReportError, match="no row of 'g' has one"):
        training_curves(apart, plan=plan_of("a"), over="cpu-minutes")
    with pytest.raises(ReportError, match="goes with 'test_accuracy', but the metric is 'seconds'"):
        training_curves(LOGS, plan=PLAN, metric="seconds", teacher_share=0.7)
    with pytest.raises(ReportError, match="the plan of 'g' names none"):
        teacher_level(0.7, plan=plan_of("a", teacher=None), metric="test_accuracy")


@st.composite
def some_curves(draw):
    """Return curves of a few seeds, each with its own times."""
    seeds = {}
    for seed in range(draw(st.integers(1, 4))):
        steps = draw(st.lists(st.floats(0.1, 10), min_size=1, max_size=6))
        values = draw(st.lists(st.floats(0, 100), min_size=len(steps), max_size=len(steps)))
        seeds[seed] = pd.Series(values, index=np.cumsum(steps))
    return seeds


@given(some_curves())
def test_nothing_is_extrapolated_and_the_mean_lies_in_the_band(curves):
    table = across_seeds(curves)
    assert all(curve.index[0] <= at <= curve.index[-1] for at in table.index for curve in curves.values())
    assert (table["low"] <= table["mean"] + 1e-9).all()
    assert (table["mean"] <= table["high"] + 1e-9).all()
    alone = across_seeds({0: curves[0], 1: curves[0]})
    assert alone["mean"].to_numpy() == pytest.approx(curves[0].to_numpy())
    assert alone["low"].equals(alone["high"])
