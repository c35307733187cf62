"""What one sees while cells run: bars on a terminal, a line for each cell that ends anywhere."""

from io import StringIO

import pytest
from rich.console import Console

from harness.progress import ProgressView
from harness.records import Plan, PlannedCell, write_json
from harness.store import RunLog, Store


@pytest.fixture
def store(tmp_path):
    for name in ("a", "b"):
        write_json(tmp_path / "cells" / name / "config.json", {})
    return Store(tmp_path)


def view_of(store, *, terminal, each_epoch=False):
    cells = (PlannedCell("a", "A", 0), PlannedCell("b", "B [x]", 1))
    plan = Plan("k", "g", "t", ("A", "B [x]"), "A", (0,), cells, {})
    console = Console(file=StringIO(), force_terminal=terminal, width=150, highlight=False, color_system=None)
    view = ProgressView(plan, ["a", "b"], epochs={"a": 4, "b": 4}, store=store, console=console, each_epoch=each_epoch)
    return view, console.file


def record(epoch, accuracy):
    return {"epoch": epoch, "test_accuracy": accuracy, "student_loss.mhad": 0.25}


def test_cells_that_end_are_named_with_their_outcome(store):
    view, file = view_of(store, terminal=False)
    view.update()
    write_json(store.cell("a") / "result.json", {"last": 0.875, "seconds": 61.0})
    view.update()
    write_json(store.cell("b") / "failure.json", {"error": "OSError: [Errno 28] disk full"})
    view.update()
    view.update()
    view.close()
    lines = file.getvalue().splitlines()
    assert len(lines) == 2
    assert all(word in lines[0] for word in ("[1/2]", "A, seed 0", "87.50 %", "0:01:01"))
    assert all(word in lines[1] for word in ("[2/2]", "B [x], seed 1", "failed", "[Errno 28] disk full"))


def test_a_failure_of_a_former_call_is_not_shown_again(store):
    write_json(store.cell("a") / "failure.json", {"error": "OSError: once", "time": 1.0})
    view, file = view_of(store, terminal=False)
    view.update()  # before the cell is tried again
    assert (file.getvalue(), view._note()) == ("", "")
    write_json(store.cell("a") / "failure.json", {"error": "OSError: twice", "time": 2.0})
    view.update()
    view.update()
    assert file.getvalue().count("failed") == 1
    assert "twice" in file.getvalue()


def test_bars_show_running_cells_the_best_so_far_and_the_time_left(store):
    view, file = view_of(store, terminal=True)
    RunLog(store.cell("b")).append(record(1, 0.5))
    write_json(store.cell("a") / "result.json", {"last": 0.875, "seconds": 61.0})
    view.update()
    view._progress.refresh()
    view.close()
    shown = file.getvalue()
    assert all(word in shown for word in ("best 87.50 % (A, seed 0)", "left", "B [x], seed 1", "1/4", "50.00 % now"))


def test_epochs_are_printed_once_each_where_asked_for(store):
    view, file = view_of(store, terminal=False, each_epoch=True)
    log = RunLog(store.cell("a"))
    for epoch in (1, 2):
        log.append(record(epoch, epoch / 10))
        view.update()
    assert [line.split("  ")[0] for line in file.getvalue().splitlines()] == ["epoch 1/4", "epoch 2/4"]
    assert "student_loss.mhad 0.25" in file.getvalue()


def test_a_resumed_cell_counts_only_new_epochs_for_the_time_left(store):
    RunLog(store.cell("a")).append(record(1, 0.1))
    view, _ = view_of(store, terminal=False)
    view.update()
    assert "left" not in view._note()
    RunLog(store.cell("a")).append(record(2, 0.2))
    view.update()
    assert "left" in view._note()
