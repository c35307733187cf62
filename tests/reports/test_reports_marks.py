"""What is marked in a table: the best, the second, signs, and runs of former code."""

import pytest

from dfkd.config import REAL_METHODS
from rendered import PLAN, VALUES, make_frame, make_plan, write
from reports import ablation_table, render
from reports.table import REAL_METHODS as NAMED


def marks(values, *, rows=("a", "b", "c", "d"), seeds=(0,)):
    """Return the rows that are bold, and those that are underlined."""
    lines = write(make_plan(rows, seeds=seeds), values, "latex").splitlines()
    return tuple([line[0] for line in lines if mark in line] for mark in (r"\textbf", r"\underline"))


@pytest.mark.parametrize(
    ("values", "best", "second"),
    [
        ([0.5, 0.7, 0.6, 0.1], ["b"], ["c"]),
        # 70.004 and 70.001 both read 70.00; the second is the next value that reads otherwise.
        ([0.70004, 0.70001, 0.6, 0.1], ["a", "b"], ["c"]),
        ([0.7, 0.6, 0.60002, 0.1], ["a"], ["b", "c"]),
        ([0.7, 0.7, 0.7, 0.7], ["a", "b", "c", "d"], []),
        # A row without its run is not ranked.
        ([None, 0.7, 0.6, 0.1], ["b"], ["c"]),
        ([None, None, 0.6, 0.1], ["c"], ["d"]),
        # One complete row is best of nothing.
        ([None, None, None, 0.1], [], []),
        ([None, None, None, None], [], []),
        # As text, "9.00" would be above "10.00".
        ([0.09, 0.10, 0.08, 0.01], ["b"], ["a"]),
    ],
)
def test_marks(values, best, second):
    assert marks(values) == (best, second)


def with_methods(values, methods):
    rows = tuple("abcd"[: len(values)])
    plan = make_plan(rows, seeds=(0,))
    frame = make_frame(plan, values)
    frame["config.method"] = methods
    return render(ablation_table(frame, plan=plan), plan=plan, frame=frame, selection="last", format="latex")


def test_beside_data_free_rows_students_of_real_images_are_upper_bounds_and_not_ranked():
    text = with_methods([0.9, 0.8, 0.5, 0.4], ["scratch", "real_kd", "dfkd_fgvc", "dafl"])
    assert [line[0] for line in text.splitlines() if r"\textbf" in line] == ["c"]
    assert [line[0] for line in text.splitlines() if r"\underline" in line] == ["d"]
    assert "Among complete data-free rows, best bold" in text
    # Where all rows are of real images they are ranked; a row that has not run says nothing of its method.
    for methods in (["scratch", "real_kd"], ["scratch", None]):
        text = with_methods([0.9, 0.8 if methods[1] else None], methods)
        assert "Among complete rows, best bold" in text
        assert (r"\textbf{90.00}" in text) == (methods[1] is not None)


def test_methods_of_real_images_are_those_that_the_trainer_has():
    assert NAMED == REAL_METHODS


def test_an_incomplete_row_is_not_marked_however_good():
    assert marks([0.9, None, 0.5, 0.5, 0.4, 0.4], rows=("a", "b", "c"), seeds=(0, 1)) == (["b"], ["c"])


def test_differences_are_signed_and_zero_has_no_minus():
    # b: +1.50; c: -0.001, which rounds to zero.
    text = write(make_plan(["a", "b", "c"], seeds=(0,)), [0.5, 0.515, 0.49999], "markdown")
    assert [line.split("|")[3].strip() for line in text.splitlines()[4:]] == ["", "+1.50", "+0.00"]


@pytest.mark.parametrize(
    ("format", "marked"), [("terminal", "- bn \u2020"), ("markdown", "- bn \u2020"), ("latex", r"- bn $^\dagger$ &")]
)
def test_rows_with_a_stale_run_have_a_dagger_that_the_caption_explains(format, marked):
    frame = make_frame(PLAN, VALUES)
    # One run of "- bn"; a run that failed has no result to be stale.
    stale = ["- bn/1", "- con/0"]
    table = ablation_table(frame, plan=PLAN)
    text = render(table, plan=PLAN, frame=frame, selection="last", format=format, stale=stale)
    dagger = r"$^\dagger$" if format == "latex" else "\u2020"
    assert marked in text
    assert text.count(dagger) == 2
    shown = " ".join(text.split())
    assert f"{dagger}: 1 of 5 runs stale, trained by code that has changed since." in shown
    assert dagger not in render(table, plan=PLAN, frame=frame, selection="last", format=format)


def test_csv_counts_stale_runs_by_row():
    frame = make_frame(PLAN, VALUES)
    table = ablation_table(frame, plan=PLAN)
    text = render(table, plan=PLAN, frame=frame, selection="last", format="csv", stale=["full/0", "full/1", "- bn/1"])
    assert [line.split(",")[6] for line in text.splitlines()] == ["stale", "2", "1", "0", "0"]
