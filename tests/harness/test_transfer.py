"""``dfkd export-store`` and ``import-store``: two machines' runs in one store; formats; drivers that are at work."""

import io
import json
import shutil
import tarfile

import pytest
import torch

from harness.live import driving, live_drivers
from harness.plan import digest
from harness.records import FORMAT, Plan, PlannedCell, read_json, write_json, write_plan
from harness.store import RunLog, Store
from outcome import refused

RESULT = {"last": 0.5, "best_on_test": 0.5, "seconds": 3.0, "environment": {"torch": "x"}, "finished": 1000.0}


def add_cell(store, seed, *, result=None, epochs=1, state=False):
    """Write a cell as training leaves it; return its id, which is the hash of what it was made from."""
    canonical = {"seed": seed}
    cell_id = digest([canonical, "t", "f", 3])
    folder = store.cell(cell_id)
    made = {"canonical": canonical, "config": {"seed": seed, "other": 1}, "teacher_hash": "t", "test_fingerprint": "f"}
    write_json(folder / "config.json", {**made, "train_fingerprint": None, "numerics": 3})
    for epoch in range(epochs):
        RunLog(folder).append({"epoch": epoch + 1, "time": 10.0, "test_accuracy": 0.25})
    if state:
        (folder / "state.pt").write_bytes(b"state")
    if result:
        (folder / "student.pt").write_bytes(b"weights")
        (folder / "samples").mkdir()
        (folder / "samples" / "epoch-0001.jpg").write_bytes(b"jpg")
        write_json(folder / "result.json", {**RESULT, **result})
    return cell_id


def add_plan(store, *ids):
    cells = tuple(PlannedCell(cell_id, cell_id, 0) for cell_id in ids)
    plan = Plan("key", "g", "t", ids, ids[0], (0,), cells, {"dataset": "D", "budget": "b"})
    write_plan(store.root, plan)


@pytest.fixture
def there(tmp_path):
    """Another machine's store: a finished cell, an unfinished one, a diverged one, a teacher, a plan."""
    store = Store(tmp_path / "there")
    ids = [add_cell(store, 1, result={"last": 0.5}), add_cell(store, 2, epochs=3, state=True), add_cell(store, 3)]
    write_json(store.cell(ids[2]) / "diverged.json", {"error": "nan", "finished": 1.0})
    add_plan(store, *ids)
    (store.root / "teachers/x").mkdir(parents=True)
    torch.save({"hash": "t"}, store.root / "teachers/x/teacher.pt")
    with store.lease(ids[0], patience=0):
        pass
    return store, ids


@pytest.fixture
def here(tmp_path):
    (tmp_path / "here").mkdir()
    return Store(tmp_path / "here")


def carry(run, source, target, *options):
    """Export one store and import it into the other; return the import's outcome."""
    file = source.root.parent / "archive.tar"
    status, output, _ = run("export-store", str(file), "--store", str(source.root), *options)
    assert (status, "MiB" in output) == (0, True)
    return run("import-store", str(file), "--store", str(target.root))


def files(store, cell_id):
    folder = store.cell(cell_id)
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {"lease"}


class TestMerging:
    def test_what_has_ended_comes_in_without_checkpoints(self, run, there, here):
        store, (done, open_cell, diverged) = there
        status, output, _ = carry(run, store, here)
        assert (status, "1 plans, 2 cells, 1 teachers, 0 studies" in output) == (0, True), output
        expected = {"config.json", "log.jsonl", "result.json", "samples/epoch-0001.jpg", "holders/1"}
        assert files(here, done) == expected
        assert read_json(here.cell(done) / "result.json") == read_json(store.cell(done) / "result.json")
        assert [here.read(cell).status for cell in (done, open_cell, diverged)] == ["done", "todo", "diverged"]
        assert (here.root / "plans/key.json").read_bytes() == (store.root / "plans/key.json").read_bytes()
        assert (here.root / "teachers/x/teacher.pt").exists()

    def test_checkpoints_by_option(self, run, there, here):
        store, (done, open_cell, _) = there
        carry(run, store, here, "--checkpoints")
        assert "student.pt" in files(here, done)
        assert "state.pt" in files(here, open_cell)
        assert here.read(open_cell).epochs_done == 3

    def test_records_alone(self, run, there, here, tmp_path):
        store, (done, open_cell, diverged) = there
        study = store.root / "studies" / "s"
        study.mkdir(parents=True)
        for name in ("journal.log", "search.json", "journal.log.lock"):
            (study / name).write_text("{}")
        status, output, _ = carry(run, store, here, "--records")
        assert (status, "1 plans, 2 cells, 0 teachers, 1 studies" in output) == (0, True), output
        assert {path.name for path in (here.root / "studies" / "s").iterdir()} == {"journal.log", "search.json"}
        assert files(here, done) == {"config.json", "log.jsonl", "result.json", "holders/1"}
        assert [here.read(cell).status for cell in (done, open_cell, diverged)] == ["done", "todo", "diverged"]
        options = ("--store", str(store.root), "--checkpoints", "--records")
        refused(run("export-store", str(tmp_path / "x.tar"), *options), "--records", "--checkpoints", "Give one")
        assert not (tmp_path / "x.tar").exists()

    def test_twice_is_once(self, run, there, here):
        carry(run, there[0], here)
        status, output, _ = carry(run, there[0], here)
        assert (status, "There already: 1 plans, 2 cells, 1 teachers" in output) == (0, True)

    def test_two_results_of_one_cell_are_reported_and_ours_stays(self, run, there, here):
        cell = add_cell(here, 1, result={"last": 0.75})
        status, _, stderr = carry(run, there[0], here)
        assert status == 1
        assert f"conflict: cell {cell}: two results, here 75.00 % and in the archive 50.00 %" in stderr
        assert read_json(here.cell(cell) / "result.json")["last"] == 0.75

    def test_equal_results_that_took_other_times_are_one(self, run, there, here):
        add_cell(here, 1, result={"last": 0.5, "seconds": 9.0, "finished": 2.0})
        assert carry(run, there[0], here)[0] == 0

    def test_a_finished_cell_takes_the_place_of_an_unfinished_one_unless_it_runs(self, run, there, here):
        cell = add_cell(here, 1, epochs=2, state=True)
        with here.lease(cell, patience=0):
            status, _, stderr = carry(run, there[0], here)
        assert (status, "is being run" in stderr, here.read(cell).status) == (1, True, "todo")
        assert carry(run, there[0], here)[0] == 0
        assert (here.read(cell).status, "state.pt" in files(here, cell)) == ("done", False)

    def test_another_teacher_of_the_same_name_stays_out(self, run, there, here):
        (here.root / "teachers/x").mkdir(parents=True)
        torch.save({"hash": "other"}, here.root / "teachers/x/teacher.pt")
        status, _, stderr = carry(run, there[0], here)
        assert (status, "teacher x: the weights differ (here other, in the archive t)" in stderr) == (1, True)


def rewritten(there, run, change):
    """Return an archive whose members ``change`` has looked at: it gives back (name, content) or None."""
    file = there[0].root.parent / "archive.tar"
    run("export-store", str(file), "--store", str(there[0].root))
    with tarfile.open(file) as archive:
        members = [(member.name, archive.extractfile(member).read()) for member in archive]
    with tarfile.open(file, "w") as archive:
        for name, content in filter(None, (change(*member) for member in members)):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file


class TestHarm:
    @pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "cells/../../evil", "evil", "store.json"])
    def test_members_that_have_no_place_there(self, run, there, here, name):
        def change(member, content):
            if member == "manifest.json":
                manifest = json.loads(content)
                manifest["files"][name] = "0" * 64
                return member, json.dumps(manifest).encode()
            return (name, b"x") if member.startswith("plans/") else (member, content)

        refused(run("import-store", str(rewritten(there, run, change)), "--store", str(here.root)), name, "no place")
        assert {path.name for path in here.root.iterdir()} == {"store.json"}

    def test_a_changed_file(self, run, there, here):
        file = rewritten(there, run, lambda n, c: (n, c.replace(b"0.5", b"0.9") if n.endswith("result.json") else c))
        refused(run("import-store", str(file), "--store", str(here.root)), "lost or changed cells/")
        assert not (here.root / "cells").exists()

    def test_a_cell_whose_identity_does_not_hold(self, run, there, here):
        store, (done, *_) = there
        config = read_json(store.cell(done) / "config.json")
        write_json(store.cell(done) / "config.json", config | {"teacher_hash": "other"})
        status, _, stderr = carry(run, store, here)
        assert (status, f"cell {done}: left out, because its id is not the hash" in stderr) == (1, True)
        assert not here.cell(done).exists()

    def test_what_is_no_archive(self, run, here, tmp_path):
        (tmp_path / "no.tar").write_bytes(b"no" * 1000)
        refused(run("import-store", str(tmp_path / "no.tar"), "--store", str(here.root)), "no.tar", "Export")
        refused(run("import-store", str(tmp_path / "none"), "--store", str(here.root)), "none", "export-store")

    def test_a_newer_archive(self, run, there, here):
        def change(member, content):
            return member, content.replace(b'"format": 1', b'"format": 9') if member == "manifest.json" else content

        file = rewritten(there, run, change)
        refused(run("import-store", str(file), "--store", str(here.root)), "format 9", "newer dfkd")


COMMANDS = (
    ["plan", "table3"],
    ["ablate", "table3"],
    ["search", "attention_orders", "--trials", "1", "--objectives", "agreement"],
    ["report", "table3"],
    ["explain", "table3", "Baseline"],
    ["figure", "rows", "table3", "--out", "rows"],
    ["paper"],
    ["status"],
    ["gc"],
    ["mlflow", "sync"],
    ["rebuild"],
    ["ui"],
    ["export-store", "x.tar"],
    ["export", "abc", "--format", "torch"],
)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_store_of_a_newer_format_is_refused(run, here, command):
    write_json(here.root / "store.json", {"format": FORMAT + 1})
    refused(run(*command, "--store", str(here.root)), f"format {FORMAT + 1}", str(here.root), "--store")


def test_a_store_in_use_is_named(run, there, here, monkeypatch):
    shutil.copytree(there[0].root, here.root, dirs_exist_ok=True)
    file = here.root.parent / "x.tar"
    run("export-store", str(file), "--store", str(here.root))
    monkeypatch.setattr("harness.live._is_own", lambda holder: False)
    with driving(here, plan="key", tracking_uri="u"):
        (driver,) = live_drivers(here)
        for command in (["rebuild"], ["import-store", str(file)]):
            refused(run(*command, "--store", str(here.root)), "is in use by `dfkd", f"process {driver.holder.pid} on")
        assert "In use by `dfkd" in run("gc", "--store", str(here.root))[1]
    assert live_drivers(here) == []
    assert not list((here.root / "drivers").iterdir())
