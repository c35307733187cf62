"""A disk without room ends a command with words, not with a traceback."""

import errno
import os

import pytest

import harness.cli.status
from harness.cli.outcome import _why_open
from harness.store import Store


def test_a_full_disk_is_said_to_be_one(run, tmp_path, monkeypatch):
    (tmp_path / "runs").mkdir()
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "runs/cells/1/lease")
    monkeypatch.setattr(harness.cli.status, "known_store", lambda *given: (_ for _ in ()).throw(full))
    status, _, said = run("status", "--store", str(tmp_path / "runs"))
    assert status == 1
    told = " ".join(said.split())
    assert "There must be room to write to, but the disk for runs/cells/1/lease is full. Make room" in told


def test_another_error_of_the_system_is_not(run, tmp_path, monkeypatch):
    (tmp_path / "runs").mkdir()
    other = OSError(errno.EIO, os.strerror(errno.EIO))
    monkeypatch.setattr(harness.cli.status, "known_store", lambda *given: (_ for _ in ()).throw(other))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        run("status", "--store", str(tmp_path / "runs"))


def test_a_cell_whose_failure_found_no_room_is_not_said_to_be_another_process(tmp_path):
    store = Store(tmp_path)
    store.cell("one").mkdir(parents=True)
    told = _why_open(store.read("one"), store)
    assert told.startswith("not finished, and there is no record why; ")
    assert told.endswith(" MiB are free on the store's disk")
    with store.lease("one", patience=0):
        assert _why_open(store.read("one"), store) == "not finished: another process may be running it"
