"""What runs the forward passes of a step: chosen by name, and tried before any work."""

import random

import torch

from dfkd.errors import ConfigError

ENGINES = ("eager", "compile", "graphs")
"""``eager``: PyTorch as it is, operation by operation. ``compile``: passes compiled by torch.compile. ``graphs``:
compiled, and replayed as CUDA graphs. Which one it is moves last digits at most, and is no part of a run's identity."""


def check_engine(engine: str, device: torch.device, *, checkpoint_activations: bool) -> None:
    """Compile something small if ``engine`` compiles; that takes seconds.

    Raises:
        ConfigError: it cannot be done here, or the engine is not one that can checkpoint activations.
    """
    if engine == "eager":
        return
    if checkpoint_activations:
        raise ConfigError(
            f"`--checkpoint-activations` must go with `--engine eager`, but the engine is {engine}. Leave one of them "
            "out."
        )
    if engine == "graphs" and device.type != "cuda":
        raise ConfigError(
            f"`--engine graphs` must run on a CUDA device, but the device is {device}. Use `--engine compile` or "
            "`--engine eager`."
        )
    if (reason := cannot_compile(device)) is not None:
        needed = (
            "Triton, and a C compiler" if device.type == "cuda" else "a C++ compiler, such as g++ or the one in CXX"
        )
        raise ConfigError(
            f"`--engine {engine}` must be able to compile for {device.type}, which takes {needed}, but trying it "
            f"failed: {reason}. Install it, or leave out `--engine`."
        )


def cannot_compile(device: torch.device) -> str | None:
    """Return why torch.compile does not work here, in a line; None if it does."""
    number = random.random()  # so that nothing compiled before will do
    try:
        scaled = torch.compile(lambda x: x.exp() * number, fullgraph=True, dynamic=False)
        scaled(torch.zeros(8, device=device))
    except Exception as error:  # a compiler may raise anything
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return f"{type(error).__name__}: {lines[0] if lines else 'no more is known'}"[:300]
    return None
