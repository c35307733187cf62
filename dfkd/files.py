"""Writing so that a crash leaves the old file or the new one, and reading checkpoints without executing code."""

import os
import pickle
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch

from dfkd.errors import CheckpointError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that is flushed to disk and renamed to it when the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def save(content: dict[str, Any], path: Path) -> None:
    """Write ``content``, of tensors and plain values, to ``path`` atomically.

    Raises:
        OSError: there is no room for it, say; what was there stays.
    """
    with atomic_path(path) as part:
        failure = None
        try:
            torch.save(content, part)
        except RuntimeError as error:  # which is what PyTorch's own writer raises
            failure = str(error).splitlines()[0]
        # Raised out here: the error above holds the file open, so that a full disk would stay full while it is told of.
        if failure is not None:
            free = shutil.disk_usage(path.parent).free
            raise OSError(f"{path} could not be written, with {free / 2**20:.0f} MiB free on its disk: {failure}")


def load(path: Path, *, what: str, way_out: str) -> dict[str, Any]:
    """Return what ``save`` wrote, on the CPU. No code in the file is executed.

    Raises:
        CheckpointError: the file is missing, truncated or not a checkpoint; the message ends with ``way_out``.
    """
    if not path.is_file():
        raise CheckpointError(f"The {what} must exist, but there is no file {path}. {way_out}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes make the unpickler raise almost anything
        code = "TorchScript" in str(error) or (
            isinstance(error, pickle.UnpicklingError) and "Unsupported" in str(error)
        )
        reason = "it holds more than tensors and plain values." if code else f"it is damaged ({type(error).__name__})."
        raise CheckpointError(
            f"The {what} must be a whole checkpoint, but {path} ({path.stat().st_size} bytes) cannot be read: "
            f"{reason} {way_out}"
        ) from None
    if not isinstance(content, dict):
        raise CheckpointError(
            f"The {what} must be a checkpoint, but {path} holds a {type(content).__name__}. {way_out}"
        )
    return content
