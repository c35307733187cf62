"""Killing ``dfkd ablate`` half-way through Ray, and giving the same command again."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from harness.records import read_log
from small import sets

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

DFKD = [sys.executable, "-c", "from harness.cli.main import main; main()"]


def options(store):
    schedule = ("schedule.epochs=6", "schedule.student_steps=20", "schedule.batch_size=32")
    return ["table3", "--budget", "smoke", "--seeds", "0", "--store", str(store), *sets(*schedule)]


def start(store):
    return subprocess.Popen(
        [*DFKD, "ablate", *options(store)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def descendants(pid):
    """Return the process and all that it started, Ray's daemons and workers included."""
    table = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    children: dict[int, list[int]] = {}
    for line in table.splitlines():
        child, parent = map(int, line.split())
        children.setdefault(parent, []).append(child)
    found = [pid]
    for parent in found:
        found.extend(children.get(parent, []))
    return found


def kill_all(process):
    """Kill the driver, Ray's daemons and the workers, as a machine that goes down does."""
    for pid in descendants(process.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def progress(store):
    folders = sorted((store / "cells").glob("*"))
    return {f.name: (len(read_log(f)), (f / "result.json").exists()) for f in folders}


def result_time(store, cell):
    return (store / "cells" / cell / "result.json").stat().st_mtime_ns


def wait_until_half_way(store, process):
    """Wait until a cell is done and another is in the middle."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        states = progress(store).values()
        if any(done for _, done in states) and any(0 < epochs < 6 and not done for epochs, done in states):
            return
        time.sleep(0.05)
    kill_all(process)
    pytest.fail(f"never half-way: {progress(store)}")


@pytest.fixture(scope="module")
def uninterrupted(teacher_store, tmp_path_factory):
    """The CSV of the same grid, run without a break in one process."""
    store = shutil.copytree(teacher_store, tmp_path_factory.mktemp("whole") / "runs")
    subprocess.run([*DFKD, "ablate", *options(store), "--executor", "local"], check=True, capture_output=True)
    return report(store)


def report(store):
    command = [*DFKD, "report", *options(store), "--format", "csv"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_kill_9_of_the_driver_and_all_its_workers(store, uninterrupted):
    process = start(store)
    wait_until_half_way(store, process)
    kill_all(process)
    before = progress(store)
    finished = {cell: result_time(store, cell) for cell, (_, done) in before.items() if done}
    assert 0 < len(finished) < 4

    again = start(store)
    output = again.communicate(timeout=600)[0]
    assert again.returncode == 0, output
    assert f"4 distinct cells: {len(finished)} done" in output
    for cell, moment in finished.items():  # a finished cell was not run again
        assert result_time(store, cell) == moment
    assert report(store) == uninterrupted


def test_ctrl_c_stops_cleanly_and_says_how_to_resume(store, uninterrupted):
    process = start(store)
    wait_until_half_way(store, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole foreground group
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 130, output
    assert "Resume with the same command" in output
    assert "Traceback" not in output
    again = start(store)
    output = again.communicate(timeout=600)[0]
    assert again.returncode == 0, output
    assert report(store) == uninterrupted
