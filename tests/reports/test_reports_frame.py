import math
from dataclasses import replace

import pytest

from harness.records import Plan, PlannedCell, write_json, write_plan
from reports import ReportError, load_runs, runs_frame

PLAN = Plan(
    key="k",
    grid="g",
    title="T",
    rows=("second name", "a first name", "twin"),
    reference="twin",
    seeds=(1, 0),
    cells=(
        PlannedCell("c1", "second name", 1),
        PlannedCell("c0", "second name", 0),
        PlannedCell("d1", "a first name", 1),
        PlannedCell("d0", "a first name", 0),
        PlannedCell("c1", "twin", 1),
        PlannedCell("c0", "twin", 0),
    ),
    context={},
)


@pytest.fixture
def store(tmp_path):
    result = {"last": 0.5, "best_on_test": 0.625, "final_mean": 0.4375, "seconds": 12.0}
    write_json(tmp_path / "cells" / "c1" / "result.json", result)
    write_json(tmp_path / "cells" / "d1" / "failure.json", {"error": "out of memory", "traceback": ""})
    return tmp_path


def test_one_line_per_planned_cell_in_plan_order(store):
    frame = runs_frame(store, PLAN)
    assert list(frame.columns[:7]) == ["row", "seed", "cell", "status", "last", "best_on_test", "final_mean"]
    assert list(zip(frame["row"], frame["seed"], frame["cell"], frame["status"], strict=True)) == [
        ("second name", 1, "c1", "done"),
        ("second name", 0, "c0", "todo"),
        ("a first name", 1, "d1", "failed"),
        ("a first name", 0, "d0", "todo"),
        ("twin", 1, "c1", "done"),  # the same run as in the first line, in another row
        ("twin", 0, "c0", "todo"),
    ]


def test_fractions_where_done_and_nan_elsewhere(store):
    frame = runs_frame(store, PLAN)
    accuracies = frame[["last", "best_on_test", "final_mean"]]
    assert accuracies[frame["status"] == "done"].values.tolist() == [[0.5, 0.625, 0.4375]] * 2
    assert accuracies[frame["status"] != "done"].isna().all(axis=None)


def test_a_failure_before_a_success_is_forgotten(store):
    write_json(store / "cells" / "c1" / "failure.json", {"error": "killed", "traceback": ""})
    assert runs_frame(store, PLAN)["status"][0] == "done"


def test_an_empty_store_still_shows_the_whole_plan(tmp_path):
    frame = runs_frame(tmp_path, PLAN)
    assert len(frame) == 6
    assert set(frame["status"]) == {"todo"}
    assert all(math.isnan(value) for value in frame["last"])


def test_what_a_run_was_made_from_has_columns_and_lacks_where_it_lacks(store):
    config = {"config": {"seed": 1, "student_loss.mhad.orders": "1"}, "teacher_hash": "t", "numerics": 3}
    write_json(store / "cells" / "c1" / "config.json", config)
    frame = runs_frame(store, PLAN)
    first, second = frame.iloc[0], frame.iloc[1]
    assert (first["teacher_hash"], first["numerics"], first["config.student_loss.mhad.orders"]) == ("t", 3, "1")
    assert (first["trainer"], second["trainer"], first["processor"]) == ("unknown", "", "")
    assert first["seconds"] == 12.0
    assert math.isnan(first["cpu_seconds"])  # a result from before it was measured
    assert second["config.student_loss.mhad.orders"] is None or math.isnan(second["config.student_loss.mhad.orders"])
    assert frame["error"][2] == "out of memory"


def test_three_lines_of_python(store):
    write_plan(store, PLAN)
    runs = load_runs(store, grid="g")
    assert runs.groupby("row")["last"].mean()["twin"] == 0.5


def test_a_grid_that_was_never_planned_names_those_that_were(store):
    with pytest.raises(ReportError, match=r"of the grid 'g' in .* but the plans there are: none at all"):
        load_runs(store, "g")
    write_plan(store, PLAN)
    with pytest.raises(ReportError, match=r"of the grid 'h' in .* but the plans there are: g"):
        load_runs(store, "h")


def test_several_plans_of_a_grid_are_listed_and_chosen_by_key(store):
    write_plan(store, PLAN)
    write_plan(store, replace(PLAN, key="other", context={"dataset": "Digits", "budget": "demo"}))
    with pytest.raises(ReportError, match=r"has 2: k: g on None.*; other: g on Digits, budget demo, seeds 1,0"):
        load_runs(store, "g")
    assert len(load_runs(store, key="oth")) == 6


def test_a_store_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ReportError, match="tracking URI"):
        load_runs(tmp_path / "none")
