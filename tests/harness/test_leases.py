"""Leases between machines: by watching alone, never by comparing clocks."""

import errno
import io
import multiprocessing
import os
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

import harness.leases
from harness.leases import RELEASED, HeldError, LeaseLostError, Watcher, hold, is_held, last_holder, working

FAST, SOON = 0.05, 0.4
"""A heartbeat and an expiry for tests."""


@contextmanager
def on_machine(monkeypatch, name):
    """Let this process be another machine, whose file locks nobody here sees."""
    with monkeypatch.context() as patch:
        patch.setattr(harness.leases, "this_machine", lambda: name)
        patch.setattr(harness.leases, "is_locked", lambda folder: False)
        patch.setattr(harness.leases, "FileLock", lambda *arguments, **options: NoLock())
        yield


class NoLock:
    """A file lock that a network file system keeps to itself."""

    def acquire(self):
        """Succeed."""

    def release(self):
        """Do nothing."""


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    monkeypatch.setattr(harness.leases, "HEARTBEAT", FAST)
    monkeypatch.setattr(harness.leases, "EXPIRY", SOON)


@pytest.fixture
def abandoned(tmp_path, monkeypatch):
    """A folder whose lease a process on machine ``there`` held when its machine lost power."""
    with on_machine(monkeypatch, "there"):
        harness.leases._sign(_made(tmp_path), 1)
    return tmp_path


def _made(folder):
    folder.mkdir(exist_ok=True)
    return folder


def beat_for(folder, seconds, name):
    """Hold the lease as another machine, for a while."""
    harness.leases.HEARTBEAT, harness.leases.EXPIRY = FAST, SOON
    harness.leases.this_machine = lambda: name
    with hold(folder, patience=0):
        time.sleep(seconds)


@pytest.fixture
def living(tmp_path, monkeypatch):
    """A folder whose lease a living process on machine ``there`` holds, and whose file lock is not seen here."""
    process = multiprocessing.get_context("spawn").Process(target=beat_for, args=(tmp_path, 60, "there"))
    process.start()
    deadline = time.monotonic() + 60
    while last_holder(tmp_path) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    with on_machine(monkeypatch, "here"):
        yield tmp_path
    process.kill()
    process.join()


def test_a_living_holder_elsewhere_is_never_taken_for_dead(living):
    watcher, until = Watcher(), time.monotonic() + 3 * SOON
    while time.monotonic() < until:
        assert not watcher.died(living)
        time.sleep(FAST)
    assert str(working(living)).endswith("on there")
    for patience in (0, 1):
        with pytest.raises(HeldError, match="on there"), hold(living, patience=patience):
            pass


def test_clocks_that_disagree_change_nothing(living, monkeypatch):
    # The other machine's clock is a year ahead, or behind: its file's time moves all the same.
    real = os.utime
    for skew in (365 * 86400, -365 * 86400):
        path = living / "holders" / "1"
        watcher, until, moment = Watcher(), time.monotonic() + 2 * SOON, time.time() + skew
        while time.monotonic() < until:
            moment += 1
            real(path, (moment, moment))
            assert not watcher.died(living)
            time.sleep(FAST / 2)


def test_a_dead_holder_elsewhere_is_held_until_it_was_watched_for_long_enough(abandoned):
    assert is_held(abandoned)
    with pytest.raises(HeldError, match="on there"), hold(abandoned, patience=0):
        pass
    start = time.monotonic()
    with hold(abandoned, patience=1):
        assert time.monotonic() - start >= SOON
        assert last_holder(abandoned).number == 3  # 2 was made on behalf of the dead
    assert not is_held(abandoned)


def test_a_pause_between_two_looks_is_not_silence_of_the_holder(abandoned):
    watcher = Watcher()
    assert not watcher.died(abandoned)
    time.sleep(2 * SOON)  # the watcher itself was stopped
    assert not watcher.died(abandoned)


def test_of_two_that_take_over_only_one_can(abandoned, monkeypatch):
    watchers = [Watcher(), Watcher()]
    while not all([watcher.died(abandoned) for watcher in watchers]):
        time.sleep(FAST)
    watchers[0].bury(abandoned)
    with hold(abandoned, patience=0):
        watchers[1].bury(abandoned)  # too late: somebody works there by now
        assert last_holder(abandoned).number == 3
        assert is_held(abandoned)


def test_one_who_was_faster_by_a_moment_wins(tmp_path, monkeypatch):
    with on_machine(monkeypatch, "there"):
        harness.leases._sign(tmp_path, 1)
    monkeypatch.setattr(harness.leases, "last_holder", Twice(last_holder))
    with pytest.raises(HeldError, match="on there"), hold(tmp_path, patience=0):
        pass


class Twice:
    """``last_holder`` as it was a moment before, for two looks."""

    def __init__(self, real):
        self.real, self.looks = real, 0

    def __call__(self, folder):
        self.looks += 1
        return None if self.looks <= 2 else self.real(folder)


def test_who_was_stopped_for_too_long_finds_out(tmp_path, monkeypatch):
    with hold(tmp_path, patience=0) as lease:
        lease.check()
        with on_machine(monkeypatch, "there"):
            harness.leases._sign(tmp_path, 2)
        with pytest.raises(LeaseLostError, match="on there"):
            lease.check()
    assert is_held(tmp_path)  # letting go of the old one does not let go of the new one


def test_a_holder_that_found_no_room_to_sign_has_let_go(tmp_path, monkeypatch):
    class NoRoom(io.StringIO):
        """A file on a full disk: what is written fails when it is closed, and moves the file's time even so."""

        def close(self):
            if not self.closed:
                super().close()
                os.utime(tmp_path / "holders" / "1")
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def opened(path, mode="r", **options):
        real = really(path, mode, **options)
        if mode != "x":
            return real
        real.close()
        return NoRoom()

    really = Path.open
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", opened)
        with pytest.raises(OSError, match="No space left"), hold(tmp_path, patience=0):
            pass
    assert last_holder(tmp_path).beat == RELEASED
    assert not is_held(tmp_path)


def test_a_lease_let_go_elsewhere_is_free_at_once(tmp_path, monkeypatch):
    with on_machine(monkeypatch, "there"), hold(tmp_path, patience=0):
        pass
    assert not is_held(tmp_path)
    assert working(tmp_path) is None
    with hold(tmp_path, patience=0):
        assert last_holder(tmp_path).number == 2


def test_for_people_a_holder_that_stands_still_is_not_working(abandoned):
    assert working(abandoned) is not None
    time.sleep(SOON + 0.1)
    assert working(abandoned) is None
    assert is_held(abandoned)
