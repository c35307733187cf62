"""What an epoch cost: time per phase and peak memory. The host waits for the device once, when it is asked."""

import resource
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

import torch


class EpochCost:
    """Measures from its creation on."""

    def __init__(self, device: torch.device) -> None:
        self._cuda: ModuleType | None = torch.cuda if device.type == "cuda" else None
        self._device = device
        self._start, self._cpu_start = time.perf_counter(), time.process_time()
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._events: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []
        if self._cuda:
            self._cuda.reset_peak_memory_stats(device)
        else:
            _forget_peak()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count what runs inside the block as time of the phase ``name``; on a GPU by its own clock."""
        if self._cuda:
            before, after = (self._cuda.Event(enable_timing=True) for _ in range(2))
            before.record()
            yield
            after.record()
            self._events.append((name, before, after))
        else:
            start = time.perf_counter()
            yield
            self._seconds[name] += time.perf_counter() - start

    def record(self, phases: tuple[str, ...]) -> dict[str, float]:
        """Return ``seconds`` and ``cpu_seconds`` (of all threads) since the start, and ``<phase>_seconds`` per phase.

        ``peak_memory_bytes`` is the most that was allocated on the GPU since the start; without a GPU, the most memory
        that this process held since the start, or, on systems other than Linux, since it began.
        """
        if self._cuda:
            self._cuda.synchronize(self._device)
            for name, before, after in self._events:
                self._seconds[name] += before.elapsed_time(after) / 1000
            memory = self._cuda.max_memory_allocated(self._device)
        else:
            memory = _peak()
        return {
            "seconds": time.perf_counter() - self._start,
            "cpu_seconds": time.process_time() - self._cpu_start,
            **{f"{phase}_seconds": self._seconds[phase] for phase in phases},
            "peak_memory_bytes": memory,
        }


def _forget_peak() -> None:
    """Let Linux count this process's peak of resident memory from here on; elsewhere do nothing."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets VmHWM


def _peak() -> int:
    """Return the peak of this process's resident memory in bytes."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    # In KiB on Linux, in bytes on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
