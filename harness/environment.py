"""What a result was computed with: recorded beside it, never part of its identity."""

import platform
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import torch


@lru_cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def machine(device: torch.device, *, threads: int) -> dict[str, str | int]:
    """Return what decides the speed of a run: the processor, the device and the number of threads."""
    return {
        "processor": _processor(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": threads,
    }


def environment(device: torch.device) -> dict[str, str | int]:
    """Return versions, the processor, the device and the number of threads of this process."""
    return {
        "python": platform.python_version(),
        "torch": version("torch"),
        "torchvision": version("torchvision"),
        "dfkd": version("dfkd-harness"),
        **machine(device, threads=torch.get_num_threads()),
    }
