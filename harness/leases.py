"""Leases: who works in a folder, on this machine or on another that shares it.

<folder>/lease           a file lock: it dies with its process, and keeps every other process of this machine out
<folder>/holders/<n>     one small file for each holder in turn; the last names who holds it now, and where

File locks of other machines are not relied on, because many shared file systems keep them to themselves. A holder
touches its file every ``HEARTBEAT`` seconds; another machine takes the lease over by making the file of the next
number, which only one can, and only after it has itself watched the last one stand still for ``EXPIRY`` seconds.
No two clocks are ever compared for that. A holder that was taken for dead because it was stopped finds the next number
there, and must go no further.
"""

import fcntl
import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

HEARTBEAT = 10.0
"""Seconds between two touches of a holder's file."""

EXPIRY = 120.0
"""Seconds for which another machine must have watched a holder's file stand still before it takes over."""

RELEASED = 0
"""Time of the file of a holder that has let go: setting it needs no room on a full disk."""


class HeldError(RuntimeError):
    """Another process holds the lease."""


class LeaseLostError(RuntimeError):
    """This process stood still for so long that another machine took it for dead, and works in its place."""


@lru_cache
def this_machine() -> str:
    """Return what tells this machine, since it was started, from every other."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{socket.gethostname()} {boot.read_text().strip() if boot.exists() else ''}".strip()


@dataclass(frozen=True)
class Holder:
    """Who holds a lease, or held it last."""

    number: int
    """Of the holder's file."""
    machine: str
    """As ``this_machine`` says there; empty while the file is being written."""
    pid: int
    """Of the process."""
    beat: int
    """Time of the file in nanoseconds, by whatever clock; ``RELEASED`` once it has let go."""

    @property
    def elsewhere(self) -> bool:
        """Return whether it is another machine's and has not let go: only watching can tell whether it works."""
        return self.beat != RELEASED and self.machine != this_machine()

    def __str__(self) -> str:
        return f"process {self.pid} on {self.machine.partition(' ')[0] or 'an unknown machine'}"


def last_holder(folder: Path) -> Holder | None:
    """Return who held the lease of ``folder`` last, alive or not; None if nobody ever did."""
    try:
        number = max((int(name) for name in os.listdir(folder / "holders") if name.isdecimal()), default=0)
        if number == 0:
            return None
        # Opened, not only looked at: a network file system then asks its server for the time.
        with (folder / "holders" / str(number)).open() as file:
            beat, text = os.fstat(file.fileno()).st_mtime_ns, file.read()
    except FileNotFoundError:
        return None
    try:
        about = json.loads(text)
    except json.JSONDecodeError:
        about = {"machine": "", "pid": 0}
    return Holder(number, about["machine"], about["pid"], beat)


def is_locked(folder: Path) -> bool:
    """Return whether a process of this machine holds the lease; a killed one holds none."""
    try:
        with (folder / "lease").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared, so that two who look do not see each other
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def is_held(folder: Path) -> bool:
    """Return whether the lease may be held: on this machine it is; elsewhere it was and was not let go."""
    if is_locked(folder):
        return True
    holder = last_holder(folder)
    return holder is not None and holder.elsewhere


def working(folder: Path) -> Holder | None:
    """Return who holds the lease, as far as one look can tell, for people to read; decide nothing by it.

    A holder on another machine counts as working if it touched its file within ``EXPIRY`` seconds, by the clock that
    gives a new file in the same folder its time.
    """
    locked, holder = is_locked(folder), last_holder(folder)
    if locked:
        return holder or Holder(0, this_machine(), 0, 1)
    if holder is None or not holder.elsewhere or _now(folder) - holder.beat > EXPIRY * 1e9:
        return None
    return holder


def _now(folder: Path) -> int:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_mtime_ns
    except OSError:  # a store that can only be read
        return time.time_ns()


class Watcher:
    """Finds out, by watching, which leases of other machines are dead."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[Holder, float, float]] = {}

    def died(self, folder: Path) -> bool:
        """Look at the lease of ``folder`` once more; return whether its holder elsewhere has stood still for too long.

        A pause between two looks counts as no more than a heartbeat: if this process or the file system was stopped,
        the holder is not to blame.
        """
        holder, now = last_holder(folder), time.monotonic()
        if holder is None or not holder.elsewhere:
            self._seen.pop(folder, None)
            return False
        seen, still, looked = self._seen.get(folder, (None, 0.0, now))
        still = still + min(now - looked, HEARTBEAT) if seen == holder else 0.0
        self._seen[folder] = (holder, still, now)
        return still >= EXPIRY

    def bury(self, folder: Path) -> None:
        """Let go of a lease in place of its holder, if that is the one that ``died``."""
        holder = self._seen.pop(folder)[0]
        if last_holder(folder) == holder:
            with suppress(FileExistsError):
                _let_go(_sign(folder, holder.number + 1))

    def wait(self, folder: Path) -> bool:
        """Watch a lease of another machine until it is let go or dead (True), or its holder shows life (False)."""
        before = last_holder(folder)
        while before is not None and before.elsewhere:
            if self.died(folder):
                self.bury(folder)
                return True
            time.sleep(min(1.0, HEARTBEAT / 2))
            now = last_holder(folder)
            if now != before and now is not None and now.elsewhere:
                return False
            before = now
        return True


def _sign(folder: Path, number: int) -> Path:
    """Make the file of holder ``number``; raise FileExistsError if another process was faster."""
    path = folder / "holders" / str(number)
    path.parent.mkdir(exist_ok=True)
    file = path.open("x")
    try:
        with file:
            file.write(json.dumps({"machine": this_machine(), "pid": os.getpid()}))
    except OSError:  # no room; let go once the file is closed, since a write that fails moves its time too
        _let_go(path)
        raise
    return path


def _let_go(path: Path) -> None:
    os.utime(path, ns=(RELEASED, RELEASED))


class Lease:
    """A lease that this process holds: touched by a thread of its own until it is let go."""

    def __init__(self, folder: Path, number: int) -> None:
        self._path, self._next = _sign(folder, number), folder / "holders" / str(number + 1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="dfkd-lease", daemon=True)

    def __enter__(self) -> "Lease":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        with suppress(OSError):
            _let_go(self._path)

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            with suppress(OSError):  # a file system that is away for a while
                os.utime(self._path)

    def check(self) -> None:
        """Raise LeaseLostError if another machine has taken over."""
        if self._next.exists():
            raise LeaseLostError(
                f"{self._next.parent.parent} was taken over by {last_holder(self._next.parent.parent)}, because this "
                f"process had not touched {self._path} for {EXPIRY:.0f} seconds. It goes on there."
            )


@contextmanager
def hold(folder: Path, *, patience: float) -> Iterator[Lease]:
    """Hold the lease of ``folder`` for this process.

    With ``patience`` 0 it is refused if it may be held. Otherwise a dying process of this machine is waited for as
    many seconds, and the last holder's file, if it is another machine's, is watched until it shows whether it is alive.

    Raises:
        HeldError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lease", timeout=patience, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise HeldError(f"{folder} is held by {last_holder(folder) or 'another process'}.") from None
    try:
        holder = last_holder(folder)
        if holder is not None and holder.elsewhere and not (patience and Watcher().wait(folder)):
            raise HeldError(f"{folder} is held by {holder}.")
        holder = last_holder(folder)
        try:
            lease = Lease(folder, holder.number + 1 if holder else 1)
        except FileExistsError:
            raise HeldError(f"{folder} is held by {last_holder(folder)}.") from None
        with lease:
            yield lease
    finally:
        lock.release()
