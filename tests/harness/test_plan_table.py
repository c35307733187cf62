"""What `dfkd plan` prints of plans, short and long."""

import pytest

from harness.cli.plan_table import ROWS_SHOWN, print_plan
from harness.records import Plan, PlannedCell, write_json
from harness.store import Snapshot, Store, counts

CONTEXT = {"dataset": "D", "classes": 3, "image_size": 16, "teacher": "T", "student": "S", "budget": "b", "epochs": 2}


@pytest.fixture
def printed(tmp_path, capsys):
    """What is printed of so many rows of two seeds, of which the files of some cells are given."""

    def printed(rows, files):
        names = [f"row {i:03d}" for i in range(rows)]
        cells = tuple(PlannedCell(f"{name} {seed}", name, seed) for name in names for seed in (0, 1))
        plan = Plan("k", "g", "Title", tuple(names), names[0], (0, 1), cells, CONTEXT)
        for (row, seed), name in files.items():
            write_json(Store(tmp_path).cell(f"row {row:03d} {seed}") / name, {"error": "E"})
        store = Snapshot(tmp_path)
        print_plan(plan, store, counts(store, list(plan.ids)))
        return capsys.readouterr().out

    return printed


def test_a_short_plan_has_a_line_for_every_row(printed):
    shown = printed(ROWS_SHOWN, {})
    assert "more rows" not in shown
    assert f"row {ROWS_SHOWN - 1:03d}" in shown


def test_of_a_long_plan_rows_in_the_midst_of_something_are_shown_and_the_rest_is_counted(printed):
    last = ROWS_SHOWN + 49
    done = {(row, seed): "result.json" for row in range(10) for seed in (0, 1)}
    shown = printed(
        ROWS_SHOWN + 50,
        done | {(last, 0): "result.json"} | {(last - 1, seed): "failure.json" for seed in (0, 1)},
    )
    lines = [line for line in shown.splitlines() if "│ row" in line]
    # Two rows of the last are neither all done nor all to do; before them stand as many others as there is room for.
    assert len(lines) == ROWS_SHOWN
    assert lines[-2].split("│")[1:4] == [f" row {last - 1:03d} ", " failed ", " failed "]
    assert lines[-1].split("│")[1:4] == [f" row {last:03d} ", " done   ", " todo   "]
    assert lines[-3].split("│")[1].strip() == f"row {ROWS_SHOWN - 3:03d}"
    assert "And 50 more rows, each alike in all seeds: 50 to do. `--json` lists them." in shown
    assert "300 distinct cells: 21 done" in shown
