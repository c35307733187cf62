"""Teachers and students: residual networks whose stem suits the image size, with the places where features are read."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, ResNet

from dfkd.randomness import stream


@dataclass(frozen=True)
class Classifier:
    """A network and the module paths at which its features are taken; the network itself is not edited."""

    network: nn.Module
    """Images of shape (batch, 3, size, size), normalised, to logits of shape (batch, classes)."""
    stages: tuple[str, ...]
    """Paths of the modules whose outputs are the stages' feature maps, coarsest last."""
    stage_channels: tuple[int, ...]
    """Channels of each stage."""
    head: str
    """Path of the last linear layer, whose input is the penultimate feature."""
    feature_size: int
    """Length of the penultimate feature."""


class NarrowResNet(nn.Module):
    """A residual network of basic blocks with any number of stages of any width.

    With stages of 16, 32 and 64 channels it is the network for small images of He et al., 2016, "Deep Residual
    Learning for Image Recognition", section 4.2, with projection shortcuts. torchvision's own class is fixed to four
    stages from 64 channels up.
    """

    def __init__(self, *, widths: tuple[int, ...], blocks: tuple[int, ...], classes: int, stem: nn.Module) -> None:
        super().__init__()
        self.stem = stem
        self.stages = nn.ModuleList()
        channels = widths[0]
        for i, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            stage = nn.Sequential()
            for j in range(count):
                stride = 2 if i > 0 and j == 0 else 1
                shortcut = None
                if stride != 1 or channels != width:
                    shortcut = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))
                stage.append(BasicBlock(channels, width, stride, shortcut))
                channels = width
            self.stages.append(stage)
        self.head = nn.Linear(channels, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        for stage in self.stages:
            x = stage(x)
        return self.head(x.mean(dim=(2, 3)))


def _stem_stride(image_size: int) -> int:
    return 2 if image_size >= 48 else 1


def _narrow(widths: tuple[int, ...], blocks: tuple[int, ...]) -> Callable[[int, int], Classifier]:
    def build(classes: int, image_size: int) -> Classifier:
        stem = nn.Sequential(
            nn.Conv2d(3, widths[0], 3, _stem_stride(image_size), padding=1, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
        )
        if image_size >= 112:
            stem.append(nn.MaxPool2d(3, 2, padding=1))
        network = NarrowResNet(widths=widths, blocks=blocks, classes=classes, stem=stem)
        return Classifier(network, tuple(f"stages.{i}" for i in range(len(widths))), widths, "head", widths[-1])

    return build


def _torchvision(blocks: list[int]) -> Callable[[int, int], Classifier]:
    def build(classes: int, image_size: int) -> Classifier:
        network = ResNet(BasicBlock, blocks, num_classes=classes)
        if image_size < 112:
            network.conv1 = nn.Conv2d(3, 64, 3, _stem_stride(image_size), padding=1, bias=False)
            nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
            network.maxpool = nn.Identity()
        return Classifier(network, ("layer1", "layer2", "layer3", "layer4"), (64, 128, 256, 512), "fc", 512)

    return build


MODELS: dict[str, Callable[[int, int], Classifier]] = {
    "resnet8": _narrow((16, 32, 64), (1, 1, 1)),
    "resnet14": _narrow((16, 32, 64), (2, 2, 2)),
    "resnet20": _narrow((16, 32, 64), (3, 3, 3)),
    "resnet10_half": _narrow((32, 64, 128, 256), (1, 1, 1, 1)),
    "resnet10": _torchvision([1, 1, 1, 1]),
    "resnet18": _torchvision([2, 2, 2, 2]),
    "resnet34": _torchvision([3, 4, 6, 3]),
}
"""Name to ``build(classes, image_size)``. From 112 pixels the stem is the 7x7 one of ImageNet (3x3 in the narrow ones)
with max-pooling; below, a 3x3 convolution, of stride 2 from 48 pixels."""


def build_classifier(name: str, *, classes: int, image_size: int, seed: int, role: str) -> Classifier:
    """Return the network ``name`` with initial weights from the random stream ``(seed, role)``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(seed, f"{role}.weights"))
        return MODELS[name](classes, image_size)
