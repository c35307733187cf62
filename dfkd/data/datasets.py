"""The data sets that can be named."""

from dfkd.data.cub import load_cub, sign_cub
from dfkd.data.digits import load_digits, sign_digits
from dfkd.data.images import DatasetSpec

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

DATASETS = {
    "cub200": DatasetSpec(
        title="CUB200",
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        flip=True,
        gray=False,
        load=load_cub,
        sign=sign_cub,
    ),
    "digits": DatasetSpec(
        title="Digits",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        flip=False,
        gray=True,
        load=load_digits,
        sign=sign_digits,
    ),
}
"""By the name used in ``data.dataset``."""


def dataset_spec(name: str) -> DatasetSpec:
    """Return the data set ``name``."""
    return DATASETS[name]
