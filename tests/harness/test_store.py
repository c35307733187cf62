"""The store: leases, logs, counts, and what a crash may leave."""

import json
import multiprocessing
import time

import pytest

from harness.failures import quarantine, record_failure
from harness.records import Plan, PlannedCell, read_cell, read_json, read_log, read_plan, write_json, write_plan
from harness.store import CellBusyError, RunLog, Store, StoreError, counts, open_store, status

RESULT = {"last": 0.5}


def plan(*ids):
    cells = tuple(PlannedCell(cell_id, f"row {cell_id}", 0) for cell_id in ids)
    return Plan("k", "g", "t", tuple(c.row for c in cells), cells[0].row, (0,), cells, {"dataset": "D", "budget": "b"})


def test_a_plan_comes_back_as_it_was_stored(tmp_path):
    write_plan(tmp_path, plan("a", "b"))
    assert read_plan(tmp_path / "plans" / "k.json") == plan("a", "b")
    assert read_plan(tmp_path / "plans" / "other.json") is None


def test_a_log_that_was_cut_short_loses_only_the_cut_line(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"epoch": 1}\n{"epoch": 2}\n{"epo')
    assert [record["epoch"] for record in read_log(tmp_path)] == [1, 2]
    log = RunLog(tmp_path)
    log.append({"epoch": 3})
    assert (tmp_path / "log.jsonl").read_text().splitlines() == ['{"epoch": 1}', '{"epoch": 2}', '{"epoch": 3}']


def test_an_epoch_is_logged_once(tmp_path):
    log = RunLog(tmp_path)
    log.append({"epoch": 1, "loss": 1.0})
    RunLog(tmp_path).append({"epoch": 1, "loss": 2.0})
    assert read_log(tmp_path) == [{"epoch": 1, "loss": 1.0}]


def test_damage_in_the_middle_of_a_log_is_not_passed_over(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"epo\n{"epoch": 2}\n')
    with pytest.raises(json.JSONDecodeError):
        read_log(tmp_path)


def test_writing_json_leaves_no_temporary_file_behind(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"b": object()})
    assert read_json(tmp_path / "a.json") == {"b": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_result_wins_over_a_former_failure(tmp_path):
    write_json(tmp_path / "cells/a/failure.json", {"error": "e"})
    assert read_cell(tmp_path, "a").status == "failed"
    write_json(tmp_path / "cells/a/result.json", RESULT)
    record = read_cell(tmp_path, "a")
    assert (record.status, record.failure) == ("done", None)


def test_counts_by_hand(tmp_path):
    # a done, b failed, c started (one epoch), d never seen, e diverged: 5 cells, 2 done, 3 to do of which 1 failed
    store = Store(tmp_path)
    write_json(tmp_path / "cells/a/result.json", RESULT)
    record_failure(store, "b", error="e", trace="")
    store.cell("c").mkdir()
    RunLog(store.cell("c")).append({"epoch": 1})
    write_json(tmp_path / "cells/e/diverged.json", {"error": "nan"})
    ids = ["a", "b", "c", "d", "e"]
    expected = {"cells": 5, "done": 2, "diverged": 1, "failed": 1, "quarantined": 0, "running": 0, "todo": 3}
    assert counts(store, ids) == expected
    with store.lease("c", patience=0):
        assert counts(store, ids) == expected | {"running": 1, "todo": 2}
    quarantine(store, "b")
    assert counts(store, ids) == expected | {"quarantined": 1, "todo": 2}


def test_status_counts_shared_cells_once(tmp_path):
    write_plan(tmp_path, plan("a", "b"))
    other = plan("b", "c")
    write_plan(tmp_path, Plan(**{**vars(other), "key": "k2"}))
    write_json(tmp_path / "cells/b/failure.json", {"error": "e"})
    content = status(Store(tmp_path))
    assert (content["cells"], content["failed"], [each["cells"] for each in content["plans"]]) == (3, 1, [2, 2])
    assert content["failures"] == [{"cell": "b", "error": "e", "attempts": 1, "quarantined": False}]


def test_a_result_is_set_aside_whole_and_the_cell_is_to_do_again(tmp_path):
    store = Store(tmp_path)
    write_json(tmp_path / "cells/a/config.json", {"config": {}})
    assert store.set_aside("a") is None  # not finished
    RunLog(store.cell("a")).append({"epoch": 1})
    (store.cell("a") / "samples").mkdir()
    (store.cell("a") / "samples/epoch-0001.jpg").write_bytes(b"jpg")
    write_json(tmp_path / "cells/a/result.json", RESULT | {"finished": 0.0, "trainer": ["0123456789abcdef"]})
    former = store.set_aside("a")
    assert former == store.cell("a") / "former/19700101T000000-01234567"
    assert {path.name for path in store.cell("a").iterdir()} == {"config.json", "lease", "holders", "former"}
    assert {path.name for path in former.iterdir()} == {"log.jsonl", "samples", "result.json"}
    record = store.read("a")
    assert (record.status, record.epochs_done) == ("todo", 0)


def test_setting_aside_goes_on_after_a_crash_half_way(tmp_path):
    store = Store(tmp_path)
    write_json(tmp_path / "cells/a/result.json", RESULT | {"finished": 0.0})
    former = store.cell("a") / "former/19700101T000000-unknown"
    former.mkdir(parents=True)
    (former / "log.jsonl").write_text("{}")  # was moved before the crash
    (store.cell("a") / "student.pt").write_bytes(b"weights")
    assert store.set_aside("a") == former
    assert {path.name for path in former.iterdir()} == {"log.jsonl", "student.pt", "result.json"}


def hold(root, ready):
    with Store(root).lease("a", patience=0):
        ready.set()
        time.sleep(60)


def test_a_lease_keeps_others_out_and_dies_with_its_process(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=hold, args=(tmp_path, ready))
    process.start()
    assert ready.wait(60)
    store = Store(tmp_path)
    assert store.is_running("a")
    with pytest.raises(CellBusyError, match=f"held by process {process.pid} on "), store.lease("a", patience=0):
        pass
    process.kill()
    process.join()
    assert not store.is_running("a")
    with store.lease("a", patience=5):
        pass


def test_a_store_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as error:
        open_store(tmp_path / "file" / "runs")
    assert str(tmp_path / "file" / "runs") in str(error.value)
    assert "--store" in str(error.value)
