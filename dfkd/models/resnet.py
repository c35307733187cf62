"""Residual networks: torchvision's, and narrower ones of any number of stages, with a stem that suits the image size.

From 112 pixels the stem is the 7x7 one of ImageNet (3x3 in the narrow ones) with max-pooling; below, a 3x3 convolution
without pooling, of stride 2 from 48 pixels.
"""

from collections.abc import Callable

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from dfkd.models.classifier import Classifier, map_sizes, stem_stride


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


def narrow_resnet(widths: tuple[int, ...], blocks: tuple[int, ...]) -> Callable[[int, int], Classifier]:
    """Return ``build(classes, image_size)`` of a NarrowResNet with that many channels and blocks at each stage."""

    def build(classes: int, image_size: int) -> Classifier:
        stem = nn.Sequential(
            nn.Conv2d(3, widths[0], 3, min(stem_stride(image_size), 2), padding=1, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
        )
        if image_size >= 112:
            stem.append(nn.MaxPool2d(3, 2, padding=1))
        return Classifier(
            network=NarrowResNet(widths=widths, blocks=blocks, classes=classes, stem=stem),
            stages=tuple(f"stages.{i}" for i in range(len(widths))),
            stage_channels=widths,
            stage_sizes=_stage_sizes(image_size, len(widths)),
            head="head",
            feature_size=widths[-1],
        )

    return build


def torchvision_resnet(block: type[BasicBlock | Bottleneck], blocks: list[int]) -> Callable[[int, int], Classifier]:
    """Return ``build(classes, image_size)`` of torchvision's ResNet with that many blocks at its four stages."""

    def build(classes: int, image_size: int) -> Classifier:
        network = ResNet(block, blocks, num_classes=classes)
        if image_size < 112:
            network.conv1 = nn.Conv2d(3, 64, 3, stem_stride(image_size), padding=1, bias=False)
            nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
            network.maxpool = nn.Identity()
        channels = tuple(width * block.expansion for width in (64, 128, 256, 512))
        return Classifier(
            network=network,
            stages=("layer1", "layer2", "layer3", "layer4"),
            stage_channels=channels,
            stage_sizes=_stage_sizes(image_size, 4),
            head="fc",
            feature_size=channels[-1],
        )

    return build


def _stage_sizes(image_size: int, count: int) -> tuple[int, ...]:
    return map_sizes(image_size, [stem_stride(image_size) * 2**i for i in range(count)])
