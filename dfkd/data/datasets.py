"""The data sets that can be named."""

from functools import partial

from dfkd.data.aircraft import list_aircraft
from dfkd.data.cars import list_cars
from dfkd.data.cifar import list_cifar
from dfkd.data.cub import list_cub
from dfkd.data.digits import list_digits, load_digits, load_whole_digits, sign_digits
from dfkd.data.flowers import list_flowers
from dfkd.data.image_folder import list_image_folder
from dfkd.data.images import DatasetSpec
from dfkd.data.pets import list_pets
from dfkd.data.reading import Lister, list_chosen, load_listed, load_listed_whole, sign_listed

Channels = tuple[float, float, float]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def _photographs(
    title: str, lister: Lister, *, mean: Channels = IMAGENET_MEAN, std: Channels = IMAGENET_STD
) -> DatasetSpec:
    """Return a data set of colour photographs, whose mirror images show the same class."""
    return DatasetSpec(
        title=title,
        mean=mean,
        std=std,
        flip=True,
        gray=False,
        list_split=partial(list_chosen, lister),
        load=partial(load_listed, lister),
        load_whole=partial(load_listed_whole, lister),
        sign=partial(sign_listed, lister),
    )


DATASETS = {
    "cub200": _photographs("CUB200", list_cub),
    "stanford_cars": _photographs("Cars196", list_cars),
    "aircraft_variant": _photographs("Aircraft", partial(list_aircraft, "variant")),
    "aircraft_family": _photographs("Aircraft families", partial(list_aircraft, "family")),
    "aircraft_manufacturer": _photographs("Aircraft manufacturers", partial(list_aircraft, "manufacturer")),
    "flowers102": _photographs("Flowers-102", list_flowers),
    "pets": _photographs("Oxford-IIIT Pets", list_pets),
    "cifar10": _photographs(
        "CIFAR-10", partial(list_cifar, "cifar10"), mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616)
    ),
    "cifar100": _photographs(
        "CIFAR-100", partial(list_cifar, "cifar100"), mean=(0.5071, 0.4865, 0.4409), std=(0.2673, 0.2564, 0.2762)
    ),
    "imagefolder": _photographs("Image folder", list_image_folder),
    "digits": DatasetSpec(
        title="Digits",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        flip=False,
        gray=True,
        list_split=list_digits,
        load=load_digits,
        load_whole=load_whole_digits,
        sign=sign_digits,
    ),
}
"""By the name used in ``data.dataset``."""


def dataset_spec(name: str) -> DatasetSpec:
    """Return the data set ``name``."""
    return DATASETS[name]
