"""Wide residual networks, which torchvision lacks in this form (its own `wide_resnet` is a wider ResNet-50)."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from dfkd.models.classifier import Classifier, map_sizes, stem_stride


class WideBlock(nn.Module):
    """A pre-activation block: batch norm and ReLU stand before each of its two 3x3 convolutions.

    Where the channels or the size change, the shortcut is a 1x1 convolution of the activated input.
    """

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(before)
        self.conv1 = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        same = before == after and stride == 1
        self.conv_shortcut = None if same else nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        activated = F.relu(self.norm1(x))
        shortcut = x if self.conv_shortcut is None else self.conv_shortcut(activated)
        return shortcut + self.conv2(F.relu(self.norm2(self.conv1(activated))))


class WideResNet(nn.Module):
    """WRN-depth-width of Zagoruyko & Komodakis, 2016, "Wide Residual Networks", Table 1, without dropout.

    Three stages of (depth - 4) / 6 blocks with 16, 32 and 64 times ``width`` channels. The first convolution is 3x3; it
    has stride 2 from 48 pixels and is followed by max-pooling from 112, as in our narrow residual networks.
    """

    def __init__(self, *, depth: int, width: int, classes: int, image_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, min(stem_stride(image_size), 2), padding=1, bias=False)
        self.pool = nn.MaxPool2d(3, 2, padding=1) if image_size >= 112 else nn.Identity()
        self.stages = nn.ModuleList()
        channels = 16
        for i in range(3):
            after = 16 * width * 2**i
            stage = nn.Sequential()
            for j in range((depth - 4) // 6):
                stage.append(WideBlock(channels, after, 2 if i > 0 and j == 0 else 1))
                channels = after
            self.stages.append(stage)
        self.norm = nn.BatchNorm2d(channels)
        self.head = nn.Linear(channels, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        x = self.pool(self.conv(images))
        for stage in self.stages:
            x = stage(x)
        return self.head(F.relu(self.norm(x)).mean(dim=(2, 3)))


def wide_resnet(depth: int, width: int) -> Callable[[int, int], Classifier]:
    """Return ``build(classes, image_size)`` of WRN-depth-width. A stage's map is its last block's sum."""

    def build(classes: int, image_size: int) -> Classifier:
        channels = tuple(16 * width * 2**i for i in range(3))
        return Classifier(
            network=WideResNet(depth=depth, width=width, classes=classes, image_size=image_size),
            stages=("stages.0", "stages.1", "stages.2"),
            stage_channels=channels,
            stage_sizes=map_sizes(image_size, [stem_stride(image_size) * 2**i for i in range(3)]),
            head="head",
            feature_size=channels[-1],
        )

    return build
