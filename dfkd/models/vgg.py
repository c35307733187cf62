"""VGG with batch norm: torchvision's, with a small head for small images."""

from collections import OrderedDict
from collections.abc import Callable

from torch import nn
from torchvision.models.vgg import VGG, cfgs, make_layers

from dfkd.models.classifier import Classifier, map_sizes


def vgg(configuration: str) -> Callable[[int, int], Classifier]:
    """Return ``build(classes, image_size)`` of a VGG with batch norm; ``A`` is VGG-11 and ``D`` VGG-16.

    The letters are those of Simonyan & Zisserman, 2015, "Very Deep Convolutional Networks", Table 1. From 112 pixels
    it is torchvision's network, without dropout, which would draw from the global random generator. Below, the last
    of the five poolings is left out, so that 16 pixels still leave a 1x1 map, and the average of the last map goes
    to one linear layer: the two hidden layers of 4096 are for the 7x7 maps of large images.

    The first convolution is 3x3 with stride 1 at every size. Stages are the five groups of convolutions, each before
    its pooling.
    """

    def build(classes: int, image_size: int) -> Classifier:
        layers = cfgs[configuration]
        small = image_size < 112
        stages, channels = _groups(layers)
        return Classifier(
            network=_small_vgg(layers[:-1], classes)
            if small
            else VGG(make_layers(layers, batch_norm=True), num_classes=classes, dropout=0.0),
            stages=stages,
            stage_channels=channels,
            stage_sizes=map_sizes(image_size, [2**i for i in range(len(stages))]),
            head="head" if small else "classifier.6",
            feature_size=512 if small else 4096,
        )

    return build


def _small_vgg(layers: list[str | int], classes: int) -> nn.Module:
    """Return these layers, their average over the pixels and a linear head, with initial weights as torchvision's."""
    features, head = make_layers(layers, batch_norm=True), nn.Linear(512, classes)
    for module in features:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            assert module.bias is not None
            nn.init.zeros_(module.bias)
    nn.init.normal_(head.weight, 0, 0.01)
    nn.init.zeros_(head.bias)
    return nn.Sequential(
        OrderedDict(features=features, average=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), head=head)
    )


def _groups(layers: list[str | int]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the path of each group's last ReLU, and its channels. A convolution makes three modules, a pooling one."""
    paths, channels, modules = [], [], 0
    for before, layer in zip([3, *layers], layers, strict=False):
        if layer == "M":
            paths.append(f"features.{modules - 1}")
            channels.append(int(before))
        modules += 1 if layer == "M" else 3
    return tuple(paths), tuple(channels)
