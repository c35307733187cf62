import math

import pandas as pd
import pytest

from harness.records import Plan, PlannedCell
from reports import SELECTIONS, ablation_table

NAN = float("nan")


def make_plan(rows, *, reference="full", seeds=(0, 1)):
    cells = tuple(PlannedCell(f"{row}/{seed}", row, seed) for row in rows for seed in seeds)
    return Plan("k", "g", "T", tuple(rows), reference, tuple(seeds), cells, {})


def make_frame(plan, last):
    """Return the frame of ``last``: a list of fractions per row, in the order of the plan's seeds, None if failed."""
    values = {(row, seed): value for row in plan.rows for seed, value in zip(plan.seeds, last[row], strict=True)}
    return pd.DataFrame(
        {
            "row": cell.row,
            "seed": cell.seed,
            "cell": cell.id,
            "status": "failed" if (value := values[cell.row, cell.seed]) is None else "done",
            "last": NAN if value is None else value,
            "best_on_test": NAN if value is None else value + 0.02,
            "final_mean": NAN if value is None else value - 0.01,
        }
        for cell in plan.cells
    )


PLAN = make_plan(["full", "- bn", "- adv", "- con"])
FRAME = make_frame(PLAN, {"full": [0.80, 0.84], "- bn": [0.70, 0.76], "- adv": [None, 0.82], "- con": [None, None]})
"""Five of eight planned runs."""


def test_five_of_eight_planned_runs():
    table = ablation_table(FRAME, plan=PLAN)
    assert table.index.name == "row"
    assert list(table.index) == ["full", "- bn", "- adv", "- con"]
    assert list(table.columns) == ["accuracy", "sd", "difference", "done"]
    # full: (80 + 84) / 2; - bn: (70 + 76) / 2; - adv: 82 alone.
    assert table["accuracy"].tolist() == pytest.approx([82, 73, 82, NAN], nan_ok=True)
    # full: deviations -2 and 2, squares 8, over n - 1 = 1; - bn: -3 and 3, squares 18, over 1; one seed has no sd.
    assert table["sd"].tolist() == pytest.approx([math.sqrt(8), math.sqrt(18), NAN, NAN], nan_ok=True)
    # - bn: (70 - 80 + 76 - 84) / 2 = -9; - adv, on seed 1 alone: 82 - 84 = -2, though its mean equals that of full.
    assert table["difference"].tolist() == pytest.approx([0, -9, -2, NAN], nan_ok=True)
    assert table["done"].tolist() == ["2/2", "2/2", "1/2", "0/2"]


def test_sd_has_n_minus_one_below():
    plan = make_plan(["full"], seeds=(0, 1, 2, 3))
    table = ablation_table(make_frame(plan, {"full": [0.70, 0.70, 0.76, 0.76]}), plan=plan)
    # Mean 73, four deviations of 3: squares 36, over n - 1 = 3.
    assert table.loc["full", "sd"] == pytest.approx(math.sqrt(12))


def test_difference_skips_seeds_that_the_reference_lacks():
    plan = make_plan(["full", "x"], seeds=(0, 1, 2))
    table = ablation_table(make_frame(plan, {"full": [0.80, None, 0.90], "x": [0.81, 0.10, None]}), plan=plan)
    # Both did seed 0 alone: 81 - 80. The means, 45.5 and 85, would say -39.5.
    assert table.loc["x", "difference"] == pytest.approx(1)
    assert table["done"].tolist() == ["2/3", "2/3"]


def test_no_common_seed_no_difference():
    plan = make_plan(["full", "x"])
    table = ablation_table(make_frame(plan, {"full": [0.80, None], "x": [None, 0.81]}), plan=plan)
    assert math.isnan(table.loc["x", "difference"])


def test_reference_may_stand_in_any_line():
    plan = make_plan(["a", "b"], reference="b")
    table = ablation_table(make_frame(plan, {"a": [0.5, 0.5], "b": [0.25, 0.5]}), plan=plan)
    assert table["difference"].tolist() == pytest.approx([12.5, 0])  # (25 + 0) / 2


@pytest.mark.parametrize(("selection", "shift"), [("last", 0), ("best_on_test", 2), ("final_mean", -1)])
def test_selection_chooses_the_column(selection, shift):
    assert ablation_table(FRAME, plan=PLAN, selection=selection).loc["- bn", "accuracy"] == pytest.approx(73 + shift)
    assert selection in SELECTIONS


def test_unknown_selection_lists_what_exists():
    with pytest.raises(ValueError, match=r"one of \['last', 'final_mean', 'best_on_test'\], but it is 'best'"):
        ablation_table(FRAME, plan=PLAN, selection="best")


def test_failed_and_todo_runs_do_not_count_even_with_a_number():
    frame = FRAME.assign(status=["done", "failed", "done", "todo", *FRAME["status"][4:]])
    table = ablation_table(frame, plan=PLAN)
    assert table["done"].tolist() == ["1/2", "1/2", "1/2", "0/2"]
    assert table["accuracy"].tolist() == pytest.approx([80, 70, 82, NAN], nan_ok=True)


def test_nothing_done_keeps_every_row():
    table = ablation_table(FRAME.assign(status="todo", last=NAN), plan=PLAN)
    assert list(table.index) == list(PLAN.rows)
    assert table["done"].tolist() == ["0/2"] * 4


def test_rows_that_the_frame_lacks_stay():
    table = ablation_table(FRAME[FRAME["row"] != "- con"], plan=PLAN)
    assert table.loc["- con", "done"] == "0/2"


def test_a_run_twice_is_an_error():
    with pytest.raises(ValueError, match="duplicate"):
        ablation_table(pd.concat([FRAME, FRAME[:1]]), plan=PLAN)


def test_runs_of_another_plan_are_refused():
    with pytest.raises(
        ValueError, match=r"'g' alone, but it also holds \(row, seed\) in \[\('- con', 0\), \('- con', 1\)\]"
    ):
        ablation_table(FRAME, plan=make_plan(["full", "- bn", "- adv"]))
