"""Random crops and mirror images: of real images in training, and of synthetic ones."""

import torch
from torch import Tensor
from torch.nn import functional as F


def augment(images: Tensor, *, size: int, padding: int, flip: bool, source: torch.Generator) -> Tensor:
    """Return a random crop of ``size`` of each image with a reflected border, half of them mirrored if asked.

    Images are uint8, or floating-point numbers, through which gradients flow.
    """
    if padding:
        images = F.pad(images.float(), (padding,) * 4, mode="reflect").to(images.dtype)
    slack = images.shape[-1] - size
    offsets = torch.randint(0, slack + 1, (len(images), 2), generator=source).tolist()
    mirrored = (torch.rand(len(images), generator=source) < 0.5).tolist()
    crops = []
    for image, (top, left), mirror in zip(images, offsets, mirrored, strict=True):
        crop = image[:, top : top + size, left : left + size]
        crops.append(crop.flip(-1) if flip and mirror else crop)
    return torch.stack(crops)
