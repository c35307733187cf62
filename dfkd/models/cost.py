"""What a network costs: its parameters and its arithmetic, counted without computing anything."""

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from dfkd.models.classifier import Classifier
from dfkd.models.classifiers import MODELS
from dfkd.models.taps import tap_batch_norms


@dataclass(frozen=True)
class Cost:
    """What one image costs a network."""

    parameters: int
    """Weights and biases, those of the batch norms included; their running statistics are not."""
    multiply_accumulates: int
    """Of the convolutions and linear layers."""
    batch_norm_multiply_accumulates: int
    """Of the batch norms: one for each value, which is scaled and shifted."""

    @property
    def flops(self) -> int:
        """All multiply-accumulates: what the paper's Table 1 calls FLOPs.

        At 224 pixels they are 3.67 G for ResNet-34 and 1.82 G for ResNet-18, as printed there; without the batch norms
        3.66 G and 1.81 G. (Counting two operations for each value of a batch norm gives the same two figures.)
        """
        return self.multiply_accumulates + self.batch_norm_multiply_accumulates


def measure(name: str, *, classes: int, image_size: int) -> tuple[Classifier, Cost]:
    """Return the network ``name`` on the meta device, where tensors have shapes and no values, and its cost."""
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        classifier = MODELS[name](classes, image_size)
        image = torch.empty(1, 3, image_size, image_size)
    network = classifier.network.eval()
    with (
        torch.no_grad(),
        tap_batch_norms(network, enabled=True) as (_, normalised),
        FlopCounterMode(display=False) as counter,
    ):
        network(image)
    return classifier, Cost(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        multiply_accumulates=counter.get_total_flops() // 2,  # it counts two operations for each
        batch_norm_multiply_accumulates=sum(x.numel() for x in normalised),
    )
