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


def environment(device: torch.device) -> dict[str, str | int]:
    """Return versions, the processor, the device and the number of threads of this process."""
    return {
        "python": platform.python_version(),
        "torch": version("torch"),
        "torchvision": version("torchvision"),
        "dfkd": version("dfkd-harness"),
        "processor": _processor(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
    }
