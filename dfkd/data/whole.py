"""Training pictures of different shapes: the shorter side resized, nothing cut from the longer one."""

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor


@dataclass(frozen=True)
class PictureSet:
    """The training split of a data set, decoded, in memory, each picture in its own shape."""

    pixels: Tensor
    """uint8, (total,): the pictures one after another, each as (3, height, width)."""
    sizes: Tensor
    """int64, (count, 2), on the CPU: height and width in pixels."""
    labels: Tensor
    """int64, (count,), from 0 to the number of classes - 1."""
    class_names: tuple[str, ...]
    """By label."""
    fingerprint: str
    """Hash of the files' bytes, names and labels, as that of the ``ImageSet`` of the same split."""

    def to(self, device: torch.device) -> "PictureSet":
        """Return the same pictures on ``device``."""
        return PictureSet(
            self.pixels.to(device), self.sizes, self.labels.to(device), self.class_names, self.fingerprint
        )

    def pictures(self, indices: Tensor) -> list[Tensor]:
        """Return views of these pictures, each uint8 (3, height, width)."""
        ends = (3 * self.sizes.prod(dim=1)).cumsum(dim=0)[indices].tolist()
        sizes = self.sizes[indices].tolist()
        return [
            self.pixels[end - 3 * height * width : end].view(3, height, width)
            for end, (height, width) in zip(ends, sizes, strict=True)
        ]


def picture_set(pictures: list[Tensor], labels: Tensor, class_names: tuple[str, ...], fingerprint: str) -> PictureSet:
    """Return the pictures, each uint8 (3, height, width) on the CPU, as one set."""
    sizes = torch.tensor([picture.shape[1:] for picture in pictures])
    return PictureSet(torch.cat([picture.flatten() for picture in pictures]), sizes, labels, class_names, fingerprint)


def shorter_side_resized(image: Image.Image, size: int) -> Tensor:
    """Return uint8 pixels, (3, height, width), whose shorter side is ``size``, as torchvision's ``Resize`` makes them.

    Of the longer side's length in proportion, it leaves the fraction of a pixel out.
    """
    from torchvision.transforms.v2 import functional  # here, because torchvision takes seconds to import

    return functional.pil_to_tensor(functional.resize(image, [size]))
