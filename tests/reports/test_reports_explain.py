"""The runs behind one number of a table."""

import pytest

from harness.records import Plan, PlannedCell, write_json
from reports import ReportError, derivation, explain, explained, runs_frame

CELLS = (PlannedCell("a0", "A", 0), PlannedCell("a1", "A", 1), PlannedCell("b0", "B", 0), PlannedCell("b1", "B", 1))
PLAN = Plan("k", "g", "T", ("A", "B"), "A", (0, 1), CELLS, {})


@pytest.fixture
def store(tmp_path):
    for name, last in (("a0", 0.25), ("b0", 0.5), ("b1", 0.75)):
        folder = tmp_path / "cells" / name
        write_json(folder / "config.json", {"config": {}, "canonical": {"seed": 1}, "teacher_hash": "t" * 64})
        environment = {"commit": "0123456789ab-dirty", "device": "cpu"}
        write_json(folder / "result.json", {"last": last, "trainer": ["f1", "f2"], "environment": environment})
        (folder / "student.pt").write_bytes(b"")
    return tmp_path


def told(store, runs, number):
    derived = derivation(number, runs_frame(store, PLAN), plan=PLAN, row="B")
    return explained(runs, derived, row="B", number=number, plan=PLAN, selection="last")


def test_a_rows_runs_with_everything_about_them(store):
    runs = explain(store, PLAN, "B", stale=["b1"], links={"b0": "sqlite:///x #/experiments/1/runs/2"})
    text = told(store, runs, "accuracy")
    assert [run.cell for run in runs] == ["b0", "b1"]
    assert "Mean over 2 of 2 seeds of 50.00, 75.00: 62.50" in text
    for part in ("seed=1", "teacher_hash tttttttttttttttt\n", "f1+f2", "0123456789ab-dirty", "runs/2", "b0/student.pt"):
        assert part in text
    assert text.count("stale: trained by code") == 1
    assert "b0/state.pt" not in text


def test_a_difference_has_the_references_runs_too(store):
    runs = explain(store, PLAN, "B", "difference")
    assert [(run.row, run.seed, run.status) for run in runs] == [
        ("B", 0, "done"), ("B", 1, "done"), ("A", 0, "done"), ("A", 1, "todo"),
    ]  # fmt: skip
    text = told(store, runs, "difference")
    assert "A, seed 1: no number (todo)" in text
    assert "Mean over 1 of 2 seeds of 25.00: 25.00" in text  # A lacks seed 1


def test_a_test_has_the_references_runs_and_an_interval_of_the_row_has_not(store):
    assert {run.row for run in explain(store, PLAN, "B", "test")} == {"A", "B"}
    assert {run.row for run in explain(store, PLAN, "B", "interval")} == {"B"}


def test_unknown_names_say_what_exists(store):
    with pytest.raises(ReportError, match=r"'AA' is none of: A, B. Did you mean 'A'"):
        explain(store, PLAN, "AA")
    with pytest.raises(ReportError, match="'seeds' is none of: accuracy, interval, difference"):
        explain(store, PLAN, "A", "seeds")
