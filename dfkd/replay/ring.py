"""The last so many rows of what a run made: in memory, or in a file of the run's own, of which a state is a part."""

import math
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dfkd.errors import DamagedStateError

DTYPES = {torch.uint8: np.uint8, torch.float32: np.float32}
"""What rows can be made of."""


class Ring:
    """The last ``capacity`` rows that were added, each of one shape.

    Without a ``path`` they lie in memory, and ``state_dict`` holds them. With one they lie in that file, which is read
    through a memory map, and ``state_dict`` holds a checksum of each: states stay small however many rows there are.
    The file has room for ``spare`` rows more, as many as are added between two states at most, so that no row which
    the last state holds is written over before the next one: after a crash the run goes on from the last state.

    A run's first row makes the file anew, so no run sees what another one left.
    """

    def __init__(
        self, shape: tuple[int, ...], *, dtype: torch.dtype, capacity: int, spare: int = 0, path: Path | None = None
    ) -> None:
        self.capacity = capacity
        self._shape = shape
        self._dtype = dtype
        self._path = path
        self._spare = spare
        self._slots = capacity if path is None else capacity + spare
        self._added = 0
        self._added_in_state = 0
        self._rows: Tensor | None = None
        self._checksums = torch.zeros(self._slots if path is not None else 0, dtype=torch.int64)

    def __len__(self) -> int:
        """Return how many rows can be taken."""
        return min(self._added, self.capacity)

    def add(self, rows: Tensor) -> None:
        """Take in rows of shape (count, *shape), the last of which is the newest."""
        rows = rows.detach().to("cpu", self._dtype).contiguous()
        if len(rows) > self.capacity:
            self._added += len(rows) - self.capacity
            rows = rows[-self.capacity :]
        slots = torch.arange(self._added, self._added + len(rows)) % self._slots
        if self._path is None:
            if self._rows is None:
                self._rows = torch.empty((self._slots, *self._shape), dtype=self._dtype)
            self._rows[slots] = rows
        else:
            self._write(self._path, slots, rows)
        self._added += len(rows)
        assert self._path is None or self._added - self._added_in_state <= self._spare

    def take(self, positions: Tensor) -> Tensor:
        """Return the rows at ``positions``, (count, *shape), on the CPU: the oldest is row 0."""
        assert self._rows is not None, "take from a ring that is empty"
        return self._rows[self._slots_of(positions)]

    def state_dict(self) -> dict[str, Any]:
        """Return the rows, or what the file must hold; what was added lies on disk when this returns."""
        self._added_in_state = self._added
        held = torch.arange(len(self))
        if self._path is None:
            return {"added": self._added, "rows": self.take(held) if len(self) else None}
        if self._rows is not None:
            with self._path.open("rb+") as file:
                os.fsync(file.fileno())
        return {"added": self._added, "checksums": self._checksums[self._slots_of(held)]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Return to a state that ``state_dict`` gave.

        Raises:
            DamagedStateError: the file is missing or does not hold the state's rows.
        """
        self._added = self._added_in_state = state["added"]
        slots = self._slots_of(torch.arange(len(self)))
        if len(slots) == 0:
            return
        if self._path is None:
            self._rows = torch.empty((self._slots, *self._shape), dtype=self._dtype)
            self._rows[slots] = state["rows"]
            return
        self._checksums[slots] = state["checksums"]
        self._map(self._path)
        found = _checksums(self._rows[slots]) if self._rows is not None else None
        if found is None or not torch.equal(found, state["checksums"]):
            raise DamagedStateError(
                f"A run's state and {self._path.name} beside it must belong together, but that file is missing, "
                f"damaged or of another state. Delete the state in {self._path.parent} to start this run anew."
            )

    def _slots_of(self, positions: Tensor) -> Tensor:
        return (self._added - len(self) + positions) % self._slots

    def _write(self, path: Path, slots: Tensor, rows: Tensor) -> None:
        # Written, and not assigned to the map: a full disk is then an error and not the end of the process.
        values = rows.numpy()
        size = math.prod(self._shape) * values.itemsize
        if self._rows is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.truncate(self._slots * size)
        with path.open("rb+", buffering=0) as file:
            for slot, row in zip(slots.tolist(), values, strict=True):
                file.seek(slot * size)
                file.write(row.tobytes())
        self._checksums[slots] = _checksums(rows)
        if self._rows is None:
            self._map(path)

    def _map(self, path: Path) -> None:
        dtype = DTYPES[self._dtype]
        count = self._slots * math.prod(self._shape)
        if not path.is_file() or path.stat().st_size != count * np.dtype(dtype).itemsize:
            return
        # Writable, because PyTorch has no read-only tensors.
        self._rows = torch.from_numpy(np.memmap(path, dtype=dtype, mode="r+", shape=(self._slots, *self._shape)))


def _checksums(rows: Tensor) -> Tensor:
    return torch.tensor([zlib.crc32(row.tobytes()) for row in rows.numpy()], dtype=torch.int64)
