"""Activation checkpointing: keep a function's input alone, and compute the rest once more in the backward pass.

After Chen et al., 2016, "Training Deep Nets with Sublinear Memory Cost", by torch.utils.checkpoint.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

Result = TypeVar("Result")


def recomputed(function: Callable[[Tensor], Result]) -> Callable[[Tensor], Result]:
    """Return ``function`` so that it keeps its input alone. It must change nothing and draw no random number."""
    return lambda x: checkpoint(function, x, use_reentrant=False, preserve_rng_state=False)


def run_checkpointed(parts: Sequence[nn.Module], x: Tensor) -> Tensor:
    """Return what ``parts`` make of ``x``, one after the other, keeping ``x`` alone for the backward pass.

    Buffers change as without checkpointing: the second computation starts from copies of what they were, so that batch
    norms neither remember a batch twice nor normalise it otherwise, and spectral norms take the same step of their
    power iteration.
    """
    network = nn.Sequential(*parts)
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    repeated = False

    def compute(x: Tensor) -> Tensor:
        nonlocal repeated
        if repeated:
            return functional_call(network, {name: buffer.clone() for name, buffer in before.items()}, (x,))
        repeated = True
        return network(x)

    return recomputed(compute)(x)
