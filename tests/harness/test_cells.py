"""One cell: it is resumed from its own state, a failure is kept, and a result is whole."""

import itertools
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import records
from dfkd.errors import CheckpointError, TrainingDivergedError
from dfkd.loop import distill
from harness.cells import picture_epochs, prepare_cell, run_cell
from harness.driver import prepare
from harness.freshness import begin_afresh
from harness.inputs import Execution, Where
from harness.layers import parse_settings
from harness.leases import LeaseLostError
from harness.plan import expand
from harness.records import read_json, read_log, write_json
from harness.store import Store
from search_spaces import load_grid
from small import SMALL


@pytest.fixture
def full(store):
    """The full method's cell of table3 at the smoke budget, four epochs, prepared: (Store, id, Where)."""
    return cell_of(store, "table3", [*SMALL, "schedule.epochs=4"], row="+ MHAD + SFCL")


def cell_of(store, grid, settings, *, row):
    """Return a row's cell of a grid at seed 0 and the smoke budget, prepared: (Store, id, Where)."""
    request = expand(load_grid(grid), dataset="digits", budget="smoke", seeds=(0,), settings=parse_settings(settings))
    opened = Store(store)
    prepared = prepare(request, store=opened, data_root=None, teacher=None, teacher_needed=True, cache=True)
    (cell_id,) = (cell.id for cell in prepared.plan.cells if cell.row == row)
    prepare_cell(opened, prepared.cells[cell_id])
    return opened, cell_id, Where(opened.root, None, prepared.teachers, "cpu", 1)


def numbers(store, cell_id):
    return records.numbers(read_log(store.cell(cell_id)))


class Stop(BaseException):
    """Stands for a kill between two epochs: not an Exception, so nothing is recorded."""


def stop_after(epochs):
    def report(record):
        if record["epoch"] == epochs:
            raise Stop

    return report


def test_a_finished_cell_holds_everything_and_is_not_run_again(full):
    store, cell_id, where = full
    run_cell(cell_id, where)
    folder = store.cell(cell_id)
    names = {path.name for path in folder.iterdir()} - {"lease", "holders"}
    assert names == {"config.json", "log.jsonl", "result.json", "student.pt", "samples.png", "samples"}
    result = read_json(folder / "result.json")
    assert result["last"] == read_log(folder)[-1]["test_accuracy"]
    assert result["environment"]["threads"] == 1
    before = (folder / "result.json").stat().st_mtime_ns
    run_cell(cell_id, where)
    assert (folder / "result.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("epochs", "every", "expected"),
    [
        (1, None, set()),
        (4, None, {1, 2, 3}),
        (21, None, {1, 3, 6, 9, 12, 15, 18}),
        (200, None, {1, *range(20, 200, 20)}),
        (10, 4, {1, 4, 8}),
        (4, 4, {1}),
        (10, 0, set()),
    ],
)
def test_samples_are_kept_on_the_way(epochs, every, expected):
    assert picture_epochs(epochs, every) == expected


@given(st.integers(1, 1000))
def test_a_run_keeps_at_most_ten_pictures_besides_its_last(epochs):
    kept = sorted(picture_epochs(epochs))
    assert len(kept) <= 10
    assert all(0 < epoch < epochs for epoch in kept)
    assert max((b - a for a, b in itertools.pairwise([0, *kept, epochs])), default=0) <= math.ceil(epochs / 10)


@pytest.mark.parametrize(("every", "kept"), [(0, []), (2, [1, 2])])
def test_samples_are_kept_as_often_as_is_asked_and_no_number_moves(full, tmp_path_factory, every, kept):
    store, cell_id, where = full
    other = Store(shutil.copytree(store.root, tmp_path_factory.mktemp("asked") / "runs"))
    run_cell(cell_id, where)
    run_cell(cell_id, replace(where, store=other.root, execution=Execution(samples_every=every)))
    assert numbers(store, cell_id) == numbers(other, cell_id)
    folder = other.cell(cell_id)
    pictures = sorted((folder / "samples").glob("*"))
    assert [path.name for path in pictures] == [f"epoch-{epoch:04d}.jpg" for epoch in kept]
    with Image.open(folder / "samples.png") as last:
        assert last.format == "PNG"
        for path in pictures:
            with Image.open(path) as picture:
                assert (picture.format, picture.size) == ("JPEG", last.size)


def test_a_cell_that_was_stopped_twice_ends_as_if_it_never_was(full, tmp_path_factory):

    store, cell_id, where = full
    other = Store(shutil.copytree(store.root, tmp_path_factory.mktemp("uninterrupted") / "runs"))
    run_cell(cell_id, Where(other.root, None, where.teachers, "cpu", 1))
    for epochs in (1, 3):
        with pytest.raises(Stop):
            run_cell(cell_id, where, report=stop_after(epochs))
        assert not (store.cell(cell_id) / "result.json").exists()
    run_cell(cell_id, where)
    assert numbers(store, cell_id) == numbers(other, cell_id)
    assert len(numbers(store, cell_id)) == 4
    names = ["samples.png", *(f"samples/epoch-{epoch:04d}.jpg" for epoch in (1, 2, 3))]
    pictures = [[(s.cell(cell_id) / name).read_bytes() for name in names] for s in (store, other)]
    assert pictures[0] == pictures[1]
    assert len(set(pictures[0])) == len(names)  # the generator goes on learning


def test_a_kill_between_the_state_and_the_log_loses_no_epoch(full):
    store, cell_id, where = full
    with pytest.raises(Stop):
        run_cell(cell_id, where, report=stop_after(2))
    log = store.cell(cell_id) / "log.jsonl"
    log.write_text(log.read_text().splitlines()[0] + "\n")  # as if the second line had not been written
    run_cell(cell_id, where)
    assert [record["epoch"] for record in read_log(store.cell(cell_id))] == [1, 2, 3, 4]


def test_a_failure_keeps_its_traceback_and_the_state(full, monkeypatch):
    store, cell_id, where = full

    def broken(*args, **kwargs):
        raise MemoryError("no room")

    monkeypatch.setattr("harness.cells.run_summary", broken)
    with pytest.raises(MemoryError):
        run_cell(cell_id, where)
    failure = store.read(cell_id).failure
    assert failure["error"] == "MemoryError: no room"
    assert "in broken" in failure["traceback"]
    monkeypatch.undo()
    store.forget_failure(cell_id)
    assert store.read(cell_id).status == "todo"
    run_cell(cell_id, where)
    assert store.read(cell_id).status == "done"


def test_a_state_that_was_cut_short_is_set_aside_and_the_run_begins_anew(full, tmp_path_factory):
    store, cell_id, where = full
    other = Store(shutil.copytree(store.root, tmp_path_factory.mktemp("uninterrupted") / "runs"))
    run_cell(cell_id, Where(other.root, None, where.teachers, "cpu", 1))
    with pytest.raises(Stop):
        run_cell(cell_id, where, report=stop_after(2))
    state = store.cell(cell_id) / "state.pt"
    state.write_bytes(state.read_bytes()[:1000])
    run_cell(cell_id, where)
    assert numbers(store, cell_id) == numbers(other, cell_id)
    assert not list(store.cell(cell_id).glob("state*"))


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b""), Path.unlink])
def test_a_state_that_is_damaged_on_the_way_begins_the_run_anew(full, tmp_path_factory, damage):
    store, cell_id, where = full
    other = Store(shutil.copytree(store.root, tmp_path_factory.mktemp("uninterrupted") / "runs"))
    run_cell(cell_id, Where(other.root, None, where.teachers, "cpu", 1))
    times = []

    def damaged_at_the_end(record):
        times.append(record["epoch"])
        if times == [1, 2, 3, 4]:
            damage(store.cell(cell_id) / "state.pt")

    run_cell(cell_id, where, report=damaged_at_the_end)
    assert times == [1, 2, 3, 4, 1, 2, 3, 4]
    assert numbers(store, cell_id) == numbers(other, cell_id)
    assert not list(store.cell(cell_id).glob("state*"))


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"\0" * path.stat().st_size), Path.unlink])
def test_images_that_were_damaged_begin_the_run_anew(store, tmp_path_factory, damage):
    settings = {"generator_steps": 2, "student_steps": 2, "iterations_per_epoch": 1, "epochs": 3, "batch_size": 8}
    short = [f"schedule.{key}={value}" for key, value in settings.items()]
    opened, cell_id, where = cell_of(store, "table1", [*SMALL, *short], row="ADI")
    other = Store(shutil.copytree(store, tmp_path_factory.mktemp("uninterrupted") / "runs"))
    run_cell(cell_id, Where(other.root, None, where.teachers, "cpu", 1))
    with pytest.raises(Stop):
        run_cell(cell_id, where, report=stop_after(2))
    damage(opened.cell(cell_id) / "state.images")
    run_cell(cell_id, where)
    assert numbers(opened, cell_id) == numbers(other, cell_id)
    assert not list(opened.cell(cell_id).glob("state*"))


def test_a_run_that_diverges_has_ended(full, monkeypatch):
    store, cell_id, where = full

    def explodes(config, **options):
        for number, record in enumerate(distill(config, **options)):
            if number == 2:
                raise TrainingDivergedError("In epoch 3 student_loss.mhad became nan.")
            yield record

    monkeypatch.setattr("harness.cells.distill", explodes)
    run_cell(cell_id, where)
    record = store.read(cell_id)
    assert (record.status, record.ended, record.result, record.failure) == ("diverged", True, None, None)
    assert (record.diverged["epoch"], record.epochs_done) == (3, 2)
    assert record.diverged["error"] == "In epoch 3 student_loss.mhad became nan."
    names = {path.name for path in store.cell(cell_id).iterdir()} - {"lease", "holders"}
    assert names == {"config.json", "log.jsonl", "diverged.json", "samples"}
    monkeypatch.undo()
    run_cell(cell_id, where)  # does nothing
    assert store.read(cell_id).status == "diverged"
    assert store.set_aside(cell_id) is not None
    assert store.read(cell_id).status == "todo"


def test_what_a_process_was_left_in_changes_nothing(full, tmp_path_factory):
    store, cell_id, where = full
    other = Store(shutil.copytree(store.root, tmp_path_factory.mktemp("untidy") / "runs"))
    run_cell(cell_id, where)
    calls = []
    hook = torch.nn.modules.module.register_module_forward_hook(lambda *arguments: calls.append(1))
    torch.set_num_threads(2)
    torch.manual_seed(99)
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = True
    try:
        run_cell(cell_id, Where(other.root, None, where.teachers, "cpu", 1))
        assert (calls, torch.get_num_threads(), torch.get_default_dtype()) == ([], 1, torch.float32)
    finally:
        hook.remove()
        begin_afresh(1)
    assert numbers(store, cell_id) == numbers(other, cell_id)


def test_who_has_lost_the_lease_writes_nothing_more(full):
    store, cell_id, where = full

    def taken_over(record):
        if record["epoch"] == 1:  # another machine, after this process stood still
            (store.cell(cell_id) / "holders" / "2").write_text('{"machine": "there", "pid": 7}')

    with pytest.raises(LeaseLostError, match="process 7 on there"):
        run_cell(cell_id, where, report=taken_over)
    assert len(read_log(store.cell(cell_id))) == 1
    assert store.read(cell_id).failure is None


def test_a_teacher_that_was_replaced_after_planning_is_noticed(full):
    store, cell_id, where = full
    config = read_json(store.cell(cell_id) / "config.json")
    write_json(store.cell(cell_id) / "config.json", config | {"teacher_hash": "0" * 64})
    with pytest.raises(CheckpointError, match=rf"teacher of cell {cell_id} must be .* 0{{16}}, but .*Plan again"):
        run_cell(cell_id, where)
    assert read_log(store.cell(cell_id)) == []


def test_kill_9_and_again(full, tmp_path):
    store, cell_id, where = full
    script = tmp_path / "go.py"
    script.write_text(
        "from pathlib import Path, PosixPath\nfrom harness.cells import run_cell\n"
        "from dfkd.config import DataConfig\nfrom harness.inputs import Execution, Where\n"
        f"run_cell({cell_id!r}, {where!r}, report=lambda record: print(record['epoch'], flush=True))\n"
    )
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "1\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 10
    while store.is_running(cell_id) and time.monotonic() < deadline:
        time.sleep(0.1)
    done = len(read_log(store.cell(cell_id)))
    assert 1 <= done < 4
    kept = json.dumps(read_log(store.cell(cell_id))[:done])
    run_cell(cell_id, where)
    assert json.dumps(read_log(store.cell(cell_id))[:done]) == kept  # those epochs were not trained again
    assert store.read(cell_id).status == "done"
