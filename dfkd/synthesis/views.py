"""Views of synthetic images that the teacher judges in their stead: shifted, mirrored, parts. All have gradients."""

import torch
from jaxtyping import Float
from torch import Tensor


def jittered(
    images: Float[Tensor, "batch channels height width"], *, limit: int, flip: bool, source: torch.Generator
) -> Float[Tensor, "batch channels height width"]:
    """Return the images rolled by up to ``limit`` pixels each way, mirrored half of the time if asked: all alike.

    What leaves at one side comes in at the other, as in the code of DeepInversion.
    """
    down, right = torch.randint(-limit, limit + 1, (2,), generator=source).tolist()
    mirror = torch.rand((), generator=source).item() < 0.5
    rolled = images.roll((down, right), dims=(2, 3))
    return rolled.flip(-1) if flip and mirror else rolled


def resized_crops(
    images: Float[Tensor, "batch channels size size"], *, least_area: float, flip: bool, source: torch.Generator
) -> Float[Tensor, "batch channels size size"]:
    """Return of each image a random part of ``least_area`` to all of its area, enlarged to the image's size.

    A part's sides are up to 4 : 3; half of the parts are mirrored if asked. Bilinear. As the local views of contrastive
    model inversion (Fang et al., IJCAI 2021, https://arxiv.org/abs/2105.08584) in the authors' code.
    """
    count, size = len(images), images.shape[-1]
    area, ratio, top, left, mirror = torch.rand((5, count), generator=source)
    area = least_area + (1 - least_area) * area
    ratio = torch.exp((2 * ratio - 1) * torch.log(torch.tensor(4 / 3)))
    height, width = ((area * r).sqrt().clamp(max=1) for r in (1 / ratio, ratio))
    rows = _interpolation(top * (1 - height) * size, height, size)
    columns = _interpolation(left * (1 - width) * size, width, size)
    if flip:
        columns = torch.where(mirror[:, None, None] < 0.5, columns.flip(1), columns)
    # Two products of matrices: unlike a gather, they have a gradient that is the same to the bit each time.
    with torch.autocast(images.device.type, enabled=False):
        return rows[:, None].to(images.device) @ images @ columns[:, None].to(images.device).transpose(2, 3)


def _interpolation(first: Tensor, scale: Tensor, size: int) -> Tensor:
    """Return matrices (batch, size, size) that read ``size`` values, ``scale`` apart, from where ``first`` begins."""
    outputs = torch.arange(size)
    places = first[:, None] + (outputs + 0.5) * scale[:, None] - 0.5
    places = places.clamp(0, size - 1)
    return (1 - (places[:, :, None] - outputs).abs()).clamp(min=0)
