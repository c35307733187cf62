"""Test accuracy."""

import pytest
import torch
from torch import nn

from dfkd.config import ComputeConfig
from dfkd.data import ImageSet, dataset_spec
from dfkd.evaluation import accuracy


class Brightness(nn.Module):
    """Says class 1 for a bright image and class 0 for a dark one, and remembers how it was asked."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def forward(self, images):
        self.asked.append((len(images), self.training, images.is_contiguous(memory_format=torch.channels_last)))
        mean = images.mean(dim=(1, 2, 3))
        return torch.stack([-mean, mean], dim=1)


def black_and_white(count=300, wrong=75):
    """Return alternately dark and bright images, of which the first ``wrong`` carry the other label."""
    bright = torch.arange(count) % 2
    images = (255 * bright).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 4, 4)
    return ImageSet(images, torch.where(torch.arange(count) < wrong, 1 - bright, bright), ("dark", "bright"), "")


def measure(network, test, **compute):
    return accuracy(network, test, dataset_spec("digits"), ComputeConfig(**compute))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_is_the_fraction_that_is_right(precision):
    # More images than a batch holds; 225 of 300 are right.
    assert measure(Brightness(), black_and_white(), precision=precision) == 0.75


def test_every_image_counts_once():
    network = Brightness()
    measure(network, black_and_white(513))
    assert sum(count for count, _, _ in network.asked) == 513


@pytest.mark.parametrize("training", [False, True])
def test_the_network_is_asked_in_evaluation_mode_and_left_in_its_own(training):
    network = Brightness().train(training)
    measure(network, black_and_white())
    assert not any(was_training for _, was_training, _ in network.asked)
    assert network.training == training


def test_measuring_changes_no_batch_norm():
    network = nn.Sequential(nn.BatchNorm2d(3), Brightness())
    before = [b.clone() for b in network.buffers()]
    measure(network, black_and_white())
    assert all(torch.equal(a, b) for a, b in zip(before, network.buffers(), strict=True))


def test_channels_last_reaches_the_network():
    network = Brightness()
    measure(network, black_and_white(10), channels_last=True)
    assert [order for _, _, order in network.asked] == [True]
