"""The driver's second thread: it reads the store while cells run, shows progress, and feeds MLflow."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Protocol

from harness.mirror import Mirror
from harness.records import Plan

PERIOD = 1.0
"""Seconds between two looks at the store."""


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

    MLflow is written by this thread alone. If it cannot be reached, ``mirror_error`` says why and the cells run on: the
    store has everything.
    """

    def __init__(self, plan: Callable[[], Plan], *, view: View, open_mirror: Callable[[], Mirror]) -> None:
        self.mirror_error: str | None = None
        self._plan, self._view, self._open_mirror = plan, view, open_mirror
        self._mirror: Mirror | None = None
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
        self._look()
        self._view.close()

    def _loop(self) -> None:
        while not self._stop.is_set():
            self._look()
            self._stop.wait(PERIOD)

    def _look(self) -> None:
        self._view.update()
        if self.mirror_error is None:
            try:
                self._mirror = self._mirror or self._open_mirror()
                plan = self._plan()
                self._mirror.sync(plan.ids, plan)
            except Exception as error:  # a backend may raise anything, and no run may be lost to it
                self.mirror_error = (
                    f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
                )
