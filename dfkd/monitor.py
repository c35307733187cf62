"""What an epoch cost: time per phase and peak memory. The host waits for the device once, when it is asked."""

import resource
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
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

        ``peak_memory_bytes`` is what was allocated on the GPU since the start, or by this process since it began.
        """
        if self._cuda:
            self._cuda.synchronize(self._device)
            for name, before, after in self._events:
                self._seconds[name] += before.elapsed_time(after) / 1000
            memory = self._cuda.max_memory_allocated(self._device)
        else:
            # In KiB on Linux, in bytes on macOS.
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        return {
            "seconds": time.perf_counter() - self._start,
            "cpu_seconds": time.process_time() - self._cpu_start,
            **{f"{phase}_seconds": self._seconds[phase] for phase in phases},
            "peak_memory_bytes": memory,
        }
