"""Reading features out of a network by module path, without editing it and only while somebody looks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import Tensor, nn

from dfkd.models.classifier import Classifier


@dataclass
class Features:
    """What one forward pass left behind; empty until the pass has run."""

    stages: list[Tensor] = field(default_factory=list)
    """Each stage's feature map, (batch, channels, height, width)."""
    penultimate: Tensor = None  # type: ignore[assignment]  # set by the forward pass
    """Input of the last linear layer, (batch, feature size)."""


@contextmanager
def tap_features(classifier: Classifier, *, enabled: bool) -> Iterator[Features]:
    """Yield the Features that the forward pass inside the block will fill; nothing is hooked unless ``enabled``."""
    features = Features()
    handles = []
    if enabled:
        for path in classifier.stages:
            keep = _append_output(features.stages)
            handles.append(classifier.network.get_submodule(path).register_forward_hook(keep))

        def keep_input(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            features.penultimate = args[0]

        handles.append(classifier.network.get_submodule(classifier.head).register_forward_pre_hook(keep_input))
    try:
        yield features
    finally:
        for handle in handles:
            handle.remove()


def _append_output(into: list[Tensor]) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    def keep(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        into.append(output)

    return keep


@contextmanager
def tap_batch_norms(network: nn.Module, *, enabled: bool) -> Iterator[tuple[list[nn.BatchNorm2d], list[Tensor]]]:
    """Yield the network's batch-norm layers and, after the forward pass inside the block, what each was given.

    Layers are listed in the order in which the pass reaches them. Nothing is hooked unless ``enabled``.
    """
    layers: list[nn.BatchNorm2d] = []
    inputs: list[Tensor] = []

    def keep(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        assert isinstance(module, nn.BatchNorm2d)
        layers.append(module)
        inputs.append(args[0])

    found = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)] if enabled else []
    handles = [module.register_forward_pre_hook(keep) for module in found]
    try:
        yield layers, inputs
    finally:
        for handle in handles:
            handle.remove()
