"""Faults for the chaos test: what goes wrong inside a driver, and what is done to it from outside."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from harness.records import read_log

DFKD = [sys.executable, "-c", "from harness.cli.main import main; main()"]
"""The command line as a process."""

FAULTY = [sys.executable, "-c", "import chaos; chaos.main()"]
"""The same, with the faults that the file CHAOS names."""


def main():
    """Run the command line with the faults of the file that CHAOS names."""
    import harness.cells

    harness.cells.RunLog.append = faulty_append(Path(os.environ["CHAOS"]))
    from harness.cli.main import main as dfkd

    dfkd()


def faulty_append(path):
    """Return what stands in for ``RunLog.append``: a file has the faults, each of which happens once.

    A fault is a number of epochs, counted from here, and what happens then: ``kill``, ``disk`` or ``memory``.
    """
    import harness.cells

    append, epochs = harness.cells.RunLog.append, 0

    def faulty(log, record):
        nonlocal epochs
        epochs += 1
        faults = json.loads(path.read_text())
        if faults and faults[0][0] <= epochs:
            path.write_text(json.dumps(faults[1:]))
            strike(faults[0][1])
        append(log, record)

    return faulty


def strike(fault):
    """Let it happen."""
    if fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "disk":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    raise MemoryError("chaos")


def descendants(pid):
    """Return the processes that ``pid`` has started, with theirs, and their command lines."""
    table = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    lines = [line.split(None, 2) for line in table.splitlines()]
    found = {pid: ""}
    for _ in range(6):
        found |= {int(child): command for child, parent, command in lines if int(parent) in found}
    del found[pid]
    return found


def kill(*pids):
    """Kill processes, some of which may be gone."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class Witness:
    """Watches a store: each result, once seen, must stay the very file that it was."""

    def __init__(self, store):
        self.store, self.results = store, {}

    def look(self):
        """Look once; return how many cells have ended."""
        for end in [*self.store.glob("cells/*/result.json"), *self.store.glob("cells/*/diverged.json")]:
            about = end.stat()
            assert self.results.setdefault(end, (about.st_ino, about.st_mtime_ns)) == (about.st_ino, about.st_mtime_ns)
        return len(self.results)


def truncate_a_state(store, rng: random.Random):
    """Cut the state of an unfinished cell short; return whether there was one."""
    states = [path for path in store.glob("cells/*/state.pt") if not (path.parent / "result.json").exists()]
    if not states:
        return False
    path = rng.choice(sorted(states))
    with suppress(FileNotFoundError), path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    return True


def fill(path):
    """Write a file until the disk is full."""
    with suppress(OSError), path.open("wb") as file:
        while True:
            file.write(bytes(2**16))
            file.flush()


def epochs_are_whole(store):
    """Assert that every log has each epoch once, in order."""
    for folder in store.glob("cells/*"):
        epochs = [record["epoch"] for record in read_log(folder)]
        assert epochs == list(range(1, len(epochs) + 1)), folder


def wait_for(condition, seconds):
    """Wait until the condition holds; return whether it did in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
