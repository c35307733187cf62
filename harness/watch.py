"""The driver's second thread: it reads the store while cells run, shows progress, and feeds MLflow."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol

from harness.mirror import Mirror
from harness.records import Plan

PERIOD = 1.0
"""Seconds between two looks at the store."""

PAUSE = 30.0
"""Seconds after which MLflow is tried again when it could not be written."""


class View(Protocol):
    """What shows progress."""

    def update(self) -> None:
        """Read the store and show what is new."""
        ...

    def close(self) -> None:
        """Leave the screen as it is to stay."""
        ...


class Watch:
    """A context in which the cells of a plan, which may grow, are watched by a thread of their own.

    MLflow is written by this thread alone, and by one driver of a store at a time, which writes the plans of all. If it
    cannot be reached, ``mirror_error`` says why and the cells run on: the store has everything. It is tried again after
    ``PAUSE`` seconds, and at the end.
    """

    def __init__(
        self,
        plan: Callable[[], Plan],
        *,
        view: View,
        open_mirror: Callable[[], Mirror | None],
        others: Callable[[], list[Plan]] = list,
    ) -> None:
        self.mirror_error: str | None = None
        self._plan, self._view, self._open_mirror, self._others = plan, view, open_mirror, others
        self._mirror: Mirror | None = None
        self._seen: dict[str, Plan] = {}
        self._try_at = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="dfkd-watch", daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._try_at = 0.0
        self._look()
        self._view.close()
        if self._mirror is not None:
            self._mirror.close()

    def _loop(self) -> None:
        while not self._stop.is_set():
            self._look()
            self._stop.wait(PERIOD)

    def _look(self) -> None:
        self._view.update()
        if time.monotonic() < self._try_at:
            return
        try:
            self._mirror = self._mirror or self._open_mirror()
            if self._mirror is not None:
                self._write(self._mirror)
            self.mirror_error = None
        except Exception as error:  # a backend may raise anything, and no run may be lost to it
            self.mirror_error = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
            self._try_at = time.monotonic() + PAUSE
            if self._mirror is not None:
                self._mirror.close()
                self._mirror = None

    def _write(self, mirror: Mirror) -> None:
        """Mirror this driver's plan and those of the others that it has seen, which may have ended since."""
        plan = self._plan()
        mirror.sync(plan.ids, plan)
        self._seen |= {other.key: other for other in self._others()}
        for other in self._seen.values():
            if other.key != plan.key:
                mirror.sync(other.ids, other)
