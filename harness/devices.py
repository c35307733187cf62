"""The machine's devices and what it is slow at."""

import torch

from dfkd.config import RunConfig
from dfkd.errors import ConfigError


def pick_device(name: str) -> str:
    """Return ``cuda`` or ``cpu`` for ``auto``, or ``name`` itself if there is such a device here.

    Raises:
        ConfigError: there is none.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"`--device` must be auto or a device of this machine, but {name!r} is not: {reason}"
        ) from None
    return name


def slow_arithmetic(config: RunConfig, device: str) -> str | None:
    """Return what to tell a user whose processor has no kernels for the configuration's precision; None if it has.

    PyTorch computes bfloat16 convolutions on a CPU without AVX-512 one by one, many times slower than float32.
    """
    capability = torch.backends.cpu.get_cpu_capability()
    if config.compute.precision != "bfloat16" or device != "cpu" or capability not in ("DEFAULT", "AVX2"):
        return None
    return (
        f"This processor ({capability}) has no fast bfloat16, so this will take many times as long as in float32. "
        "Leave out `--set compute.precision=bfloat16`; `--set compute.channels_last=true` helps here too."
    )
