"""How a table's number follows from its runs: by hand, and never another number than the table's."""

import pytest

from frames import frame_of
from harness.records import Plan, PlannedCell
from reports import COLUMNS, ablation_sheet, derivation
from reports.explain import NUMBERS

ROWS, SEEDS = ("A", "B", "C"), (0, 1, 2)
CELLS = tuple(PlannedCell(f"{row}{seed}", row, seed) for row in ROWS for seed in SEEDS)
PLAN = Plan("k", "g", "T", ROWS, "A", SEEDS, CELLS, {"student": "net", "classes": 10, "image_size": 16})
NETWORKS = {"net": (1_250_000.0, 2_500_000_000.0)}


@pytest.fixture
def frame():
    made = frame_of(PLAN, [10, 20, 30, 11, 22, 33, 9, 20, None])
    return made.assign(device="cpu", cpu_seconds=[3600.0, 7200.0, 3600.0] * 3, trainer="f")


def test_every_column_of_a_table_can_be_explained():
    assert list(NUMBERS) == list(COLUMNS)


def test_the_test_by_hand(frame):
    # B - A is 1, 2, 3: 2 of 8 patterns. C - A is -1, 0: a flip changes no size, so p is 1. Holm: 2 x 0.25, then 1.
    assert derivation("test", frame, plan=PLAN, row="B") == [
        "Sign flips of 3 differences, 1.00, 2.00, 3.00: p = 0.25, and none below 0.25 is possible",
        "Holm's correction for 2 rows (p of each: B 0.25; C 1): p = 0.5",
        "In the table: n = 3 too small to test: p cannot be below 0.5 among 2 rows",
    ]
    assert "C 1): p = 1" in derivation("test", frame, plan=PLAN, row="C")[1]
    assert derivation("test", frame, plan=PLAN, row="A") == ["It is the reference itself, which is not tested."]


def test_the_seeds_that_are_lacking_by_hand(frame):
    # B - A is 1, 2, 3: of sd 1. Two rows are tested, and 2 x 2 / 2^n is below 0.05 from n = 7 on; the t-test asks 5.
    found = derivation("more_seeds", frame, plan=PLAN, row="B")
    assert found[0].startswith(
        "A paired t-test of 3 differences, 1.00, 2.00, 3.00, of sd 1.00, finds a true difference of "
    )
    assert found[1].startswith(
        "For the one seen, +2.00, it takes 7, and never fewer than 7, below which a sign-flip test "
    )
    assert found[2] == "In the table, besides the 3: 4"
    (alone,) = derivation("more_seeds", frame, plan=PLAN, row="A")
    assert alone == "It is the reference itself, which has no difference."


def test_costs_and_runs_by_hand(frame):
    # C has 3600 and 7200 s: 5400 s, one and a half hours.
    (hours,) = derivation("hours", frame, plan=PLAN, row="C")
    assert hours == "Mean over 2 of 3 runs of 3600.00, 7200.00 CPU seconds: 5400.00, in hours 1.50"
    (parameters,) = derivation("parameters", frame, plan=PLAN, row="C", networks=NETWORKS)
    assert "10 classes and one image of 16 x 16 pixels: 1.2500 million parameters" in parameters
    (flops,) = derivation("flops", frame, plan=PLAN, row="C", networks=NETWORKS)
    assert "2.5000 thousand million multiply-accumulates" in flops
    assert derivation("flops", frame, plan=PLAN, row="C") == []
    assert derivation("runs", frame, plan=PLAN, row="C") == ["Of 3 planned: 2 done, 1 todo"]


def test_the_runs_of_a_mean_and_of_an_interval(frame):
    # 9 and 20: mean 14.5, sd 11 / sqrt(2) = 7.78.
    assert derivation("accuracy", frame, plan=PLAN, row="C") == [
        "Mean over 2 of 3 seeds of 9.00, 20.00: 14.50",
        "In the table: 14.50 \u00b1 7.78",
    ]
    (interval,) = derivation("difference_interval", frame, plan=PLAN, row="B")
    assert interval.startswith("95 % interval from 3 seeds, 1.00, 2.00, 3.00, by BCa bootstrap")
    one = frame_of(PLAN, [10, 20, 30, 11, None, None, 9, 20, None])
    assert derivation("interval", one, plan=PLAN, row="B") == [
        "Two seeds are the fewest for an interval, and there are 1."
    ]


@pytest.mark.parametrize(
    "number", ["accuracy", "interval", "difference", "difference_interval", "test", "more_seeds", "hours"]
)
def test_it_ends_with_what_the_table_shows(frame, number):
    sheet = ablation_sheet(frame, plan=PLAN, columns=[number], networks=NETWORKS)
    for row, (_, entry) in zip(ROWS, sheet.lines, strict=True):
        if entry.text:
            sentence = derivation(number, frame, plan=PLAN, row=row, networks=NETWORKS)[-1]
            assert sentence.endswith(entry.text.removeprefix("+")), row
