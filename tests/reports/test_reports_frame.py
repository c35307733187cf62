import math

import pytest

from harness.records import Plan, PlannedCell, write_json
from reports import runs_frame

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
    assert list(frame.columns) == ["row", "seed", "cell", "status", "last", "best_on_test", "final_mean"]
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
