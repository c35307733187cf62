"""Memory: what there is of it, and a hard cap on what a cell may take that runs beside others."""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import torch

from harness.packing import data_limit, memory_cap

CONTEXT = 512 * 2**20
"""Bytes of a GPU that a process takes besides what PyTorch counts, rounded up."""

GROUPS = (("0::", "", "memory.max"), (":memory:", "memory", "memory.limit_in_bytes"))
"""Control groups of both versions: what marks them in /proc/self/cgroup, their folder, and the file of the limit."""


def total_memory(*, proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the bytes of memory of this machine, or of the container or job that this process runs in."""
    limits = [_kilobytes(proc / "meminfo", "MemTotal")]
    for line in (proc / "self/cgroup").read_text().splitlines():
        for mark, folder, name in GROUPS:
            _, found, path = line.partition(mark)
            place = groups / folder / path.strip("/")
            # A container sees its own group as the topmost; the name may be that which the machine outside has for it.
            for group in (place, *place.parents) if found else ():
                with suppress(OSError, ValueError):  # no such file; or "max"
                    limits.append(int((group / name).read_text()))
    return min(limits)


def available_memory(device: str) -> int:
    """Return the bytes that cells may use in all: the GPU's, or what the machine has free."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(torch.device(device))[0])
    return min(_kilobytes(Path("/proc/meminfo"), "MemAvailable"), total_memory())


@contextmanager
def capped(device: str, share: float) -> Iterator[None]:
    """Allow this process, meanwhile, no more than its ``share`` of the memory that cells compute in.

    So no cell takes what another needs: what asks for more is refused, and fails as one that is out of memory. On a
    GPU PyTorch's allocator refuses, and the cap stays until the next is set. On a CPU the kernel does (``RLIMIT_DATA``,
    which counts private memory as it is asked for), on Linux alone. A share of 1 is no cap.
    """
    if not 0 < share < 1:
        yield
    elif device.startswith("cuda"):
        place = torch.device(device)
        total = torch.cuda.get_device_properties(place).total_memory
        torch.cuda.set_per_process_memory_fraction(memory_cap(share, total=total, context=CONTEXT), place)
        yield
    elif sys.platform == "linux":
        status = Path("/proc/self/status")
        held, mapped = _kilobytes(status, "RssAnon"), _kilobytes(status, "VmData")
        soft, hard = _own_limits()
        limit = data_limit(share, total=total_memory(), held=held, mapped=mapped)
        allowed = [limit, *(each for each in (soft, hard) if each != resource.RLIM_INFINITY)]
        resource.setrlimit(resource.RLIMIT_DATA, (min(allowed), hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
    else:
        yield


@cache
def _own_limits() -> tuple[int, int]:
    """Return the soft and the hard limit that this process began with."""
    return resource.getrlimit(resource.RLIMIT_DATA)


def _kilobytes(path: Path, name: str) -> int:
    """Return the bytes that a line of a file under /proc gives in kB."""
    line = next(line for line in path.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024
