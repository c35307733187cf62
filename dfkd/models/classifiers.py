"""Teachers and students by name, at initial weights from a named random stream."""

from collections.abc import Callable

import torch
from torchvision.models.resnet import BasicBlock, Bottleneck

from dfkd.models.classifier import Classifier
from dfkd.models.mobilenet import mobilenet_v2
from dfkd.models.resnet import narrow_resnet, torchvision_resnet
from dfkd.models.vgg import vgg
from dfkd.models.wide_resnet import wide_resnet
from dfkd.randomness import stream

MODELS: dict[str, Callable[[int, int], Classifier]] = {
    "resnet8": narrow_resnet((16, 32, 64), (1, 1, 1)),
    "resnet14": narrow_resnet((16, 32, 64), (2, 2, 2)),
    "resnet20": narrow_resnet((16, 32, 64), (3, 3, 3)),
    "resnet10_half": narrow_resnet((32, 64, 128, 256), (1, 1, 1, 1)),
    "resnet10": torchvision_resnet(BasicBlock, [1, 1, 1, 1]),
    "resnet18": torchvision_resnet(BasicBlock, [2, 2, 2, 2]),
    "resnet34": torchvision_resnet(BasicBlock, [3, 4, 6, 3]),
    "resnet50": torchvision_resnet(Bottleneck, [3, 4, 6, 3]),
    "wrn16_1": wide_resnet(16, 1),
    "wrn16_2": wide_resnet(16, 2),
    "wrn40_1": wide_resnet(40, 1),
    "wrn40_2": wide_resnet(40, 2),
    "mobilenetv2": mobilenet_v2,
    "vgg11": vgg("A"),
    "vgg16": vgg("D"),
}
"""Name to ``build(classes, image_size)``, for every image size that is a multiple of 16."""


def build_classifier(name: str, *, classes: int, image_size: int, seed: int, role: str) -> Classifier:
    """Return the network ``name`` with initial weights from the random stream ``(seed, role)``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(seed, f"{role}.weights"))
        return MODELS[name](classes, image_size)
