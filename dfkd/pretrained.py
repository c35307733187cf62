"""ImageNet weights of torchvision as the start of a teacher's training."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

import torch
from torch import Tensor

from dfkd.config import PRETRAINED, RunConfig
from dfkd.errors import CheckpointError
from dfkd.files import load
from dfkd.models import Classifier, build_classifier


@dataclass(frozen=True)
class Start:
    """A teacher before its training."""

    classifier: Classifier
    """The network."""
    fresh: tuple[str, ...] = ()
    """Names of the tensors that no ImageNet weight could fill, and that keep their random initial weights: the head's
    and, below 112 pixels, those of a ResNet's first convolution, whose kernel is another. With ``teacher.init`` at
    ``random`` there is nothing to fill and no name."""
    unused: tuple[str, ...] = ()
    """Names of torchvision's layers with weights that have no place in the network: below 112 pixels, VGG's two hidden
    layers and, beside them, its head."""


def initial_teacher(config: RunConfig, *, classes: int) -> Start:
    """Return the teacher at its random initial weights or, with ``teacher.init`` at ``imagenet``, with ImageNet's.

    MobileNetV2 strides less at small sizes, but its weights have the same shapes: all fit but its head's.

    Raises:
        CheckpointError: torchvision's weights are not here and cannot be downloaded, or their file is damaged.
    """
    settings = config.teacher
    classifier = build_classifier(
        settings.architecture, classes=classes, image_size=config.data.image_size, seed=settings.seed, role="teacher"
    )
    if settings.init == "random":
        return Start(classifier)
    own = classifier.network.state_dict()
    # A head is made anew even where the data set has a thousand classes: they are not ImageNet's.
    published = imagenet_weights(settings.architecture)
    given = {
        name: value
        for name, value in published.items()
        if name in own and value.shape == own[name].shape and not name.startswith(f"{classifier.head}.")
    }
    classifier.network.load_state_dict(own | given)
    # Old files of torchvision hold no counters of batches, which no number depends on.
    fresh = tuple(name for name in own if name not in given and not name.endswith(".num_batches_tracked"))
    unused = dict.fromkeys(name.rpartition(".")[0] for name in published if name not in own)
    return Start(classifier, fresh, tuple(unused))


def weights_url(architecture: str) -> str:
    """Return the address of torchvision's best ImageNet weights for one of ``PRETRAINED``."""
    from torchvision.models import get_model_weights  # here, because torchvision takes seconds to import

    return str(get_model_weights(PRETRAINED[architecture]).DEFAULT.url)


def imagenet_weights(architecture: str) -> dict[str, Tensor]:
    """Return torchvision's ImageNet weights for one of ``PRETRAINED``, on the CPU; downloaded once.

    They are kept in the folder of torch.hub (``TORCH_HOME``). A file's name holds the first digits of its SHA-256, and
    it is checked against them, whoever put it there.

    Raises:
        CheckpointError: they are not here and cannot be downloaded, or the file is damaged.
    """
    url = weights_url(architecture)
    path = Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(url).path).name)
    by_hand = f"Fetch {url} by hand and put it into {path.parent} (the environment variable TORCH_HOME moves it)."
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path))
        except Exception as error:  # no network, a proxy's answer, a full disk: urllib raises many kinds
            raise CheckpointError(
                f"ImageNet weights of {architecture} must be here or be downloaded, but there is no {path.name} in "
                f"{path.parent}, and the download failed: {error}. {by_hand}"
            ) from None
    digits = path.stem.rsplit("-", 1)[-1]
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(digits):
        raise CheckpointError(
            f"The SHA-256 of {path} must begin with {digits}, as its name says, but it begins with "
            f"{found[: len(digits)]}: the file is damaged or another one. Delete it. {by_hand}"
        )
    return load(path, what=f"file of ImageNet weights of {architecture}", way_out=f"Delete it. {by_hand}")
