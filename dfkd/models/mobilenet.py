"""MobileNetV2: torchvision's, with fewer strides for small images."""

from itertools import accumulate
from operator import mul

from torchvision.models.mobilenetv2 import MobileNetV2

from dfkd.models.classifier import Classifier, map_sizes


def mobilenet_v2(classes: int, image_size: int) -> Classifier:
    """Return torchvision's MobileNetV2 without dropout.

    It shrinks an image 32 times from 112 pixels on. Below, the 24-channel bottlenecks do not stride, and below 48 the
    first convolution neither: 16 and 8 times, as our residual networks, so that 16 pixels still leave a 2x2 map. The
    weights have the same shapes at every size. Dropout (0.2 in torchvision) would draw from the global random
    generator, which a resumed run could not repeat.

    Its stages are the seven sequences of bottlenecks of Sandler et al., 2018, "MobileNetV2: Inverted Residuals and
    Linear Bottlenecks", Table 2. No other network here has seven, so attention meets it at the penultimate feature, as
    in the paper.
    """
    stem = 1 if image_size < 48 else 2
    # Expansion, channels, repetitions and stride of each sequence.
    sequences = [
        [1, 16, 1, 1],
        [6, 24, 2, 1 if image_size < 112 else 2],
        [6, 32, 3, 2],
        [6, 64, 4, 2],
        [6, 96, 3, 1],
        [6, 160, 3, 2],
        [6, 320, 1, 1],
    ]
    network = MobileNetV2(num_classes=classes, inverted_residual_setting=sequences, dropout=0.0)
    network.features[0][0].stride = (stem, stem)
    # `features` holds the first convolution, then one module per bottleneck.
    last_of_each = accumulate(repetitions for _, _, repetitions, _ in sequences)
    strides = list(accumulate((stride for _, _, _, stride in sequences), mul, initial=stem))[1:]
    return Classifier(
        network=network,
        stages=tuple(f"features.{index}" for index in last_of_each),
        stage_channels=tuple(channels for _, channels, _, _ in sequences),
        stage_sizes=map_sizes(image_size, strides),
        head="classifier.1",
        feature_size=network.last_channel,
    )
