"""From the bytes of an image file to a square of pixels."""

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from dfkd.config import DataConfig
from dfkd.errors import DataError


def resized_size(config: DataConfig) -> int:
    """Return the shorter side in pixels before cropping."""
    return round(config.image_size / config.crop_fraction)


def open_picture(content: bytes, path: Path) -> Image.Image:
    """Return the image that the bytes ``content`` of the file ``path`` hold, in RGB.

    Raises:
        DataError: not an image, or a damaged one.
    """
    try:
        with Image.open(BytesIO(content)) as file:
            return file.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"Every image must decode, but {path} does not: {error}. Restore the file.") from None


def square(image: Image.Image, config: DataConfig, *, crop: bool) -> np.ndarray:
    """Return uint8 pixels of shape (size, size, 3): the shorter side resized, the longer one cut in the centre.

    ``size`` is that of the configuration with ``crop``, and ``resized_size`` without, for a random crop to come.
    """
    size = resized_size(config)
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    kept = config.image_size if crop else size
    left, top = (width - kept) // 2, (height - kept) // 2
    return np.asarray(image.crop((left, top, left + kept, top + kept)))
