"""Attempts at a cell that came to no result: what kind they were, how many, and when to leave the cell alone.

<store>/cells/<id>/failure.json      the last attempt, while the cell waits to be tried again or is quarantined
<store>/cells/<id>/failures.jsonl    every attempt that counts against the budget of retries
"""

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from dfkd.errors import UserError
from harness.records import read_json, write_json
from harness.store import Store

ERROR, INPUT, MEMORY, KILLED = "error", "input", "memory", "killed"
"""Kinds: an error in the run; input that only a user can mend; too little memory; a worker that died without a word."""

_OUT_OF_MEMORY = (
    "out of memory",
    "outofmemory",
    "can't allocate memory",
    "cannot allocate memory",
    "running low on memory",
    "bad_alloc",
    "could not create a primitive",  # all that oneDNN says of it
    "status_alloc_failed",
)


def says_memory(text: str) -> bool:
    """Return whether a message of PyTorch, CUDA's libraries, Ray or the system is about too little memory."""
    return any(words in text.lower() for words in _OUT_OF_MEMORY)


def kind_of(error: BaseException) -> str:
    """Return the kind of an exception."""
    if isinstance(error, UserError):
        return INPUT
    import torch  # here, because it takes a second, and a plan asks for no kind

    memory = isinstance(error, MemoryError | torch.OutOfMemoryError) or says_memory(str(error))
    return MEMORY if memory else ERROR


def kernel_kills() -> int:
    """Return how many processes the kernel of this machine has killed for want of memory; 0 where it does not say."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/vmstat").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("oom_kill ")).split()[1])
    return 0


def record_failure(store: Store, cell_id: str, *, error: str, trace: str, kind: str = ERROR) -> None:
    """Write the cell's failure.json; unless only a user can mend it, the attempt counts."""
    content = {"error": error, "traceback": trace, "time": time.time(), "kind": kind}
    if kind != INPUT:
        store.cell(cell_id).mkdir(parents=True, exist_ok=True)
        with _attempts_file(store, cell_id).open("a") as file:
            file.write(json.dumps(content) + "\n")
    write_json(store.cell(cell_id) / "failure.json", {**content, "attempts": attempts(store, cell_id)})


def record_death(store: Store, cell_id: str, text: str, *, kind: str) -> None:
    """Record the failure of a cell whose worker was killed, or whose machine died; ``text`` is what is known of it."""
    last = text.strip().splitlines()[-1] if text.strip() else "no more is known"
    error = f"The worker process ended without a word: {last}"
    record_failure(store, cell_id, error=error, trace=text, kind=MEMORY if says_memory(text) else kind)


def _attempts_file(store: Store, cell_id: str) -> Path:
    return store.cell(cell_id) / "failures.jsonl"


def attempts(store: Store, cell_id: str) -> int:
    """Return how many attempts count against the cell's budget."""
    try:
        return len(_attempts_file(store, cell_id).read_text().splitlines())
    except FileNotFoundError:
        return 0


def forgive(store: Store, cell_id: str) -> None:
    """Take the last attempt off the count: it failed for the company that it ran in."""
    path = _attempts_file(store, cell_id)
    with suppress(FileNotFoundError):
        path.write_text("".join(line + "\n" for line in path.read_text().splitlines()[:-1]))


def quarantine(store: Store, cell_id: str) -> None:
    """Note that the cell has failed too often and is to be left alone."""
    path = store.cell(cell_id) / "failure.json"
    failure: dict[str, Any] | None = read_json(path)
    if failure is not None:
        write_json(path, {**failure, "quarantined": True})


def release(store: Store, cell_id: str) -> None:
    """Forget all attempts at the cell, so that it is tried again."""
    _attempts_file(store, cell_id).unlink(missing_ok=True)
    store.forget_failure(cell_id)
