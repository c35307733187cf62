"""Named random streams: a new consumer of randomness moves no other, and nothing is seeded globally."""

import hashlib

import torch


def stream(seed: int, name: str) -> int:
    """Return the 63-bit seed of the stream ``name`` of a run: the same in every process, on every machine."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "little") >> 1


def generator(seed: int, name: str) -> torch.Generator:
    """Return a CPU random generator at the start of the stream ``name``.

    Noise is drawn on the CPU and moved, so that every device sees the same numbers.
    """
    return torch.Generator().manual_seed(stream(seed, name))
