"""The memory of a process that trains on a CPU: kept from step to step instead of handed back to the system."""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from threading import Lock
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""Parameters of mallopt(3): how much free memory at the heap's end is handed back at once, in bytes; and how many
blocks at a time may be mappings of their own."""
_KEEPING = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: 2**31 - 1}
_USUAL = {_M_MMAP_MAX: 65536, _M_TRIM_THRESHOLD: 128 * 1024}
"""As mallopt(3) gives them."""

_lock = Lock()
_keeping = 0


@contextmanager
def memory_kept() -> Iterator[None]:
    """Let this process keep what it frees while the block runs, and hand it back at the block's end.

    glibc gives each of the largest tensors a mapping of its own and unmaps it when it is freed: every step then touches
    their pages for the first time again, which costs a generator's step in float32 a tenth of its time
    (docs/performance.md). What is kept is what the process has had at its peak. No number moves. Where the C
    library is another one, nothing happens; a GPU's memory PyTorch keeps by itself.
    """
    global _keeping
    library = _glibc()
    if library is None:
        yield
        return
    with _lock:
        _keeping += 1
        _set(library, _KEEPING)
    try:
        yield
    finally:
        with _lock:
            _keeping -= 1
            if not _keeping:  # blocks may overlap: threads, or runs that are read in turn
                _set(library, _USUAL)
                library.malloc_trim(0)


def keeping_memory(run: Callable[P, Iterator[T]]) -> Callable[P, Iterator[T]]:
    """Return the generator function ``run`` with its body inside ``memory_kept``."""

    @wraps(run)
    def kept(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        with memory_kept():
            yield from run(*args, **kwargs)

    return kept


@cache
def _glibc() -> ctypes.CDLL | None:
    """Return the C library of this process, if it is glibc."""
    try:
        library = ctypes.CDLL(None)
    except (OSError, TypeError):  # TypeError: on Windows
        return None
    return library if hasattr(library, "gnu_get_libc_version") and hasattr(library, "mallopt") else None


def _set(library: ctypes.CDLL, parameters: dict[int, int]) -> None:
    for parameter, value in parameters.items():
        library.mallopt(parameter, value)
