"""What a result was computed with: recorded beside it, never part of its identity."""

import platform
import subprocess
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import torch

import dfkd


@lru_cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


@lru_cache
def _versions() -> dict[str, str]:
    """Return the versions of the packages that a number depends on, read once in a process."""
    return {"torch": version("torch"), "torchvision": version("torchvision"), "dfkd": version("dfkd-harness")}


@lru_cache
def commit() -> str:
    """Return the commit of the checkout that the trainer's sources lie in, with ``-dirty`` if files were changed.

    Empty outside of a checkout, and where git is missing.
    """
    command = ["git", "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*"]
    try:
        told = subprocess.run(command, cwd=dfkd.__path__[0], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return told.stdout.strip()


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
        **_versions(),
        "commit": commit(),
        **machine(device, threads=torch.get_num_threads()),
    }
