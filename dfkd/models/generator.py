"""The attention generator (section 4.1, Figure 2, Table 6): four spectrally normed deconvolutions with attention."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from dfkd.config import GeneratorConfig, SpatialAttentionConfig
from dfkd.randomness import stream

CHANNELS = (512, 256, 128, 64, 64)
"""Of the seed and after each of the four blocks (Table 6)."""


RunParts = Callable[[Sequence[nn.Module], Tensor], Tensor]
"""What runs the parts of a block, one after the other."""


def run_plainly(parts: Sequence[nn.Module], x: Tensor) -> Tensor:
    """Return what ``parts`` make of ``x``, one after the other."""
    for part in parts:
        x = part(x)
    return x


class SpatialAttention(nn.Module):
    """F + lambda * softmax(A_s) * F, where a small encoder-decoder computes A_s from F (equations 4-6, Table 6).

    The decoder's unpooling puts each value back where the encoder's max-pooling found it. The text gives A_s C/r
    channels, Table 6's last convolution restores C; the latter is what can be multiplied with F.
    """

    def __init__(self, channels: int, *, weight: float, reduction: int, softmax_axis: str) -> None:
        super().__init__()
        c = channels // reduction
        self.weight = weight
        self.softmax_axis = softmax_axis
        self.reduce = nn.Conv2d(channels, c, 1)
        self.encode = _conv_bn_relu(nn.Conv2d(c, 2 * c, 3, padding=1, bias=False))
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.bottom = _conv_bn_relu(nn.Conv2d(2 * c, 4 * c, 3, padding=1, bias=False))
        self.rise = _conv_bn_relu(nn.ConvTranspose2d(4 * c, 2 * c, 3, padding=1, bias=False))
        self.unpool = nn.MaxUnpool2d(2)
        self.decode = _conv_bn_relu(nn.ConvTranspose2d(2 * c, c, 3, padding=1, bias=False))
        self.restore = nn.Conv2d(c, channels, 1)

    def scores(
        self, features: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Return A_s."""
        encoded = self.encode(self.reduce(features))
        pooled, indices = self.pool(encoded)
        unpooled = self.unpool(self.rise(self.bottom(pooled)), indices, output_size=encoded.shape[-2:])
        return self.restore(self.decode(unpooled))

    def attention(
        self, features: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Return softmax(A_s): it sums to one over the channels of a pixel, or over the pixels of a channel."""
        scores = self.scores(features).float()
        if self.softmax_axis == "channels":
            return scores.softmax(dim=1)
        return scores.flatten(2).softmax(dim=2).view_as(scores)

    def forward(
        self, features: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Return the attended features, of the same shape."""
        if self.softmax_axis == "channels":
            return _AttendChannels.apply(features, self.scores(features), self.weight)
        return torch.addcmul(features, self.attention(features).to(features.dtype), features, value=self.weight)


class _AttendChannels(torch.autograd.Function):
    """F + weight * softmax(scores) * F, where the softmax sums to one over the channels of a pixel.

    Written out because autograd's own chain of softmax and product, which also copies both to the other memory order,
    was a third of a generator step's time on a CPU. The softmax is computed in float32 and kept in the type of F.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, scores: Tensor, weight: float) -> Tensor:
        attention = _channels_to_end(scores.to(features.dtype)).softmax(dim=3)
        ctx.save_for_backward(features, attention)
        ctx.weight = weight
        return torch.addcmul(features, features, _channels_to_front(attention), value=weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        (gradient,) = gradients
        features, attention = ctx.saved_tensors
        to_features = torch.addcmul(gradient, gradient, _channels_to_front(attention), value=ctx.weight)
        to_attention = _channels_to_end(gradient * features)
        # PyTorch's own gradient of a softmax over the last axis takes ten times as long in float32 on a CPU.
        weighted = to_attention * attention
        to_scores = torch.addcmul(weighted, attention, weighted.sum(dim=3, keepdim=True), value=-1)
        return to_features, _channels_to_front(to_scores).mul_(ctx.weight), None


def _channels_to_end(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)


def _channels_to_front(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)


def _conv_bn_relu(convolution: nn.Conv2d | nn.ConvTranspose2d) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU())


class AttentionGenerator(nn.Module):
    """Noise of shape (batch, noise_size + class_embedding) to images of shape (batch, 3, size, size) in [-1, 1] (tanh).

    A linear layer makes a seed of size / 16 pixels; each block doubles it. With an attention weight of 0 the
    attention modules do not exist.
    """

    def __init__(self, config: GeneratorConfig, *, image_size: int, seed: int) -> None:
        super().__init__()
        self.seed_size = image_size // 16
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream(seed, "generator.weights"))
            inputs = config.noise_size + config.class_embedding
            self.project = nn.Linear(inputs, CHANNELS[0] * self.seed_size**2)
            self.normalise = nn.BatchNorm2d(CHANNELS[0])
            self.upsample = nn.ModuleList(
                spectral_norm(nn.ConvTranspose2d(before, after, 3, stride=2, padding=1, output_padding=1))
                for before, after in pairwise(CHANNELS)
            )
            with_norms = config.block_normalisation == "batch"
            self.normalise_blocks = nn.ModuleList(
                nn.BatchNorm2d(channels) if with_norms else nn.Identity() for channels in CHANNELS[1:]
            )
            self.activate = nn.LeakyReLU(config.negative_slope)
            self.to_image = nn.Conv2d(CHANNELS[-1], 3, 3, padding=1)
            self.attend: nn.ModuleList = nn.ModuleList(nn.Identity() for _ in self.upsample)
            self._spread_pixels(torch.randn(8, inputs))
            # A stream of its own, so that the layers above start alike with and without attention.
            torch.manual_seed(stream(seed, "generator.attention.weights"))
            self.attend = nn.ModuleList(_attention(channels, config.attention) for channels in CHANNELS[1:])

    @torch.no_grad()
    def _spread_pixels(self, noise: Tensor) -> None:
        """Scale the last convolution so that its first outputs have mean 0 and standard deviation 1.

        Spectral normalisation shrinks the signal at every block: without this the first images are all but the same
        grey, and the first hundred steps go into leaving it. After Mishkin & Matas, 2016, "All you need is a good
        init".
        """
        assert self.to_image.bias is not None
        self.to_image.bias.zero_()
        outputs = self._before_tanh(noise, run_plainly)
        mean = outputs.mean(dim=(0, 2, 3))
        deviation = (outputs - mean[:, None, None]).std()
        self.to_image.weight.div_(deviation)
        self.to_image.bias.sub_(mean / deviation)

    def forward(self, noise: Float[Tensor, "batch noise"]) -> Float[Tensor, "batch 3 size size"]:
        """Return the images of ``noise``."""
        return self.images(noise, run=run_plainly)

    def images(self, noise: Tensor, *, run: RunParts) -> Tensor:
        """Return the images of ``noise``, where ``run`` runs the parts of each block."""
        return self._before_tanh(noise, run).float().tanh()

    def _before_tanh(self, noise: Tensor, run: RunParts) -> Tensor:
        """Return the images before their tanh."""
        x = self.normalise(self.project(noise).unflatten(1, (CHANNELS[0], self.seed_size, self.seed_size)))
        for upsample, normalise, attend in zip(self.upsample, self.normalise_blocks, self.attend, strict=True):
            x = run((upsample, normalise, self.activate), x)
            x = run((attend,), x)
        return self.to_image(x)


def _attention(channels: int, config: SpatialAttentionConfig) -> nn.Module:
    if config.weight == 0:
        return nn.Identity()
    return SpatialAttention(
        channels, weight=config.weight, reduction=config.reduction, softmax_axis=config.softmax_axis
    )
