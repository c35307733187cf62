"""What networks look at: features, attention maps and Grad-CAM, as functions of networks and images.

Images are given as the networks see them (``DatasetSpec.normalise_bytes``, ``DatasetSpec.generated``). Classifiers run
in evaluation mode and are left as they were.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from dfkd.config import RunConfig
from dfkd.data import dataset_spec
from dfkd.models.auxiliary import AttentionDistillation
from dfkd.models.classifier import Classifier
from dfkd.models.generator import AttentionGenerator, SpatialAttention
from dfkd.models.high_order import HighOrderAttention
from dfkd.models.taps import tap_features
from dfkd.randomness import generator


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    was_training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(was_training)


@torch.no_grad()
def penultimate_features(
    classifier: Classifier, images: Float[Tensor, "batch channels rows columns"]
) -> Float[Tensor, "batch features"]:
    """Return what the last linear layer is given for each image."""
    with _evaluating(classifier.network), tap_features(classifier, enabled=True) as features:
        classifier.network(images)
    return features.penultimate


def grad_cam(
    network: nn.Module,
    images: Float[Tensor, "batch channels rows columns"],
    *,
    path: str,
    classes: Int64[Tensor, " batch"],
) -> Float[Tensor, "batch height width"]:
    """Return Grad-CAM of each image for its class, at the output A of the module at ``path``; none is negative.

    That is ReLU(sum over channels k of a_k A^k), where a_k is the mean over the positions of the gradient of the
    class's logit with respect to A^k. After Selvaraju et al., ICCV 2017, "Grad-CAM", section 3.

    Raises:
        ValueError: the module gives no feature maps.
    """
    kept: list[Tensor] = []

    def keep(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_())
        return kept[-1].clone()  # the next module may write into what it is given

    handle = network.get_submodule(path).register_forward_hook(keep)
    try:
        with _evaluating(network), torch.enable_grad():
            logits: Tensor = network(images)
            # Images of a batch do not see each other, so that the sum has each one's own gradient.
            chosen = logits.gather(1, classes[:, None]).sum()
            maps = kept[-1]
            (gradient,) = torch.autograd.grad(chosen, maps)
    finally:
        handle.remove()
    if maps.dim() != 4:
        raise ValueError(f"`path` must name a module that gives feature maps, but {path!r} gives {tuple(maps.shape)}.")
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return (weights * maps.detach()).sum(dim=1).relu()


def attention_map(
    attention: Float[Tensor, "batch channels height width"], features: Float[Tensor, "batch channels height width"]
) -> Float[Tensor, "batch height width"]:
    """Return the attention that each position's features get: sum |F| A / sum |F| over the channels.

    So a channel counts as much as there is of it. A plain mean says nothing of attention that sums to one over the
    channels: it is the same everywhere. Where the features are all zero it is the plain mean.
    """
    size = features.abs()
    total = size.sum(dim=1, keepdim=True)
    weights = torch.where(total > 0, size / total.clamp_min(torch.finfo(size.dtype).tiny), 1 / size.shape[1])
    return (weights * attention).sum(dim=1)


@dataclass(frozen=True)
class Synthetic:
    """Images of a generator, and what it attended to when it made them."""

    images: Tensor
    """As the networks see them, (count, 3, size, size)."""
    attention: dict[int, Tensor]
    """By block, from 1: ``attention_map`` of softmax(A_s), (count, height, width); empty where lambda is 0."""


@torch.no_grad()
def synthesise(config: RunConfig, network: AttentionGenerator, *, count: int = 64) -> Synthetic:
    """Return the images that a run keeps as its samples: those of the same ``count`` noise vectors, in training mode.

    The batch is normalised by its own statistics, as the student sees it, so another ``count`` gives other images.
    """
    maps: dict[int, Tensor] = {}
    handles = []
    for block, attend in enumerate(network.attend, 1):
        if isinstance(attend, SpatialAttention):

            def keep(module: nn.Module, args: tuple[Tensor, ...], output: Tensor, block: int = block) -> None:
                assert isinstance(module, SpatialAttention)
                maps[block] = attention_map(module.attention(args[0]), args[0])

            handles.append(attend.register_forward_hook(keep))
    noise = torch.randn(count, config.generator.noise_size, generator=generator(config.seed, "samples"))
    try:
        images = network.train()(noise)
    finally:
        for handle in handles:
            handle.remove()
    return Synthetic(dataset_spec(config.data.dataset).generated(images, config.generator.output), maps)


@torch.no_grad()
def mixed_attention(
    mhad: AttentionDistillation,
    *,
    teacher: Classifier,
    student: Classifier,
    images: Float[Tensor, "batch channels rows columns"],
    stage: int,
) -> tuple[Float[Tensor, "batch height width"], Float[Tensor, "batch height width"]]:
    """Return ``attention_map`` of A_m at a compared ``stage`` (index from 0): of the teacher's maps, of the student's.

    The student's are those that L_MHAD sees, adapted to the teacher's channels.
    """
    found = []
    for classifier in (teacher, student):
        with _evaluating(classifier.network), tap_features(classifier, enabled=True) as features:
            classifier.network(images)
        found.append(features.stages[stage])
    place = mhad.stages.index(stage)
    theirs, ours = found[0], mhad.adapters[place](found[1])
    attentions = mhad.attentions[place], (mhad.student_attentions or mhad.attentions)[place]
    maps = []
    for attention, x in zip(attentions, (theirs, ours), strict=True):
        assert isinstance(attention, HighOrderAttention)
        maps.append(attention_map(attention.attention(x), x))
    return maps[0], maps[1]
