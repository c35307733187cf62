"""Which images the teacher was trained on, and on which the student is tested."""

from dataclasses import dataclass

from dfkd.config.rules import require, require_choice

DATASETS = (
    "cub200",
    "stanford_cars",
    "aircraft_variant",
    "aircraft_family",
    "aircraft_manufacturer",
    "flowers102",
    "pets",
    "cifar10",
    "cifar100",
    "imagefolder",
    "digits",
)
"""Names of the data sets; ``dfkd.data.DATASETS`` says what they are."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which images the teacher was trained on, and on which the student is tested."""

    dataset: str = "cub200"
    """Name of a data set, one of ``DATASETS``."""
    image_size: int = 224
    """Height and width in pixels of what the networks see and the generator makes. A multiple of 16."""
    classes: str = "all"
    """``all``, ``first:N``, or a comma-separated list of class numbers or names, in the data set's own numbering."""
    crop_fraction: float = 0.875
    """Share of the resized shorter side that the centre crop keeps: 224 / 256 in the paper's code."""
    validation_fraction: float = 0.0
    """Share of each class's training images that the teacher does not see, kept to choose settings on. Always the same
    images, whatever the seeds are; 0 keeps none."""

    def __post_init__(self) -> None:
        require_choice("data.dataset", self.dataset, DATASETS)
        require(
            self.image_size > 0 and self.image_size % 16 == 0,
            "a positive multiple of 16 (the generator doubles its seed four times); "
            f"the nearest is {max(16, round(self.image_size / 16) * 16)}",
            "data.image_size",
            self.image_size,
        )
        require(0 < self.crop_fraction <= 1, "in (0, 1]", "data.crop_fraction", self.crop_fraction)
        require(0 <= self.validation_fraction < 1, "in [0, 1)", "data.validation_fraction", self.validation_fraction)
        parse_classes(self.classes)


def parse_classes(text: str) -> int | tuple[str, ...] | None:
    """Return N for ``first:N``, the names or numbers of a list, or None for ``all``. At least two classes."""
    rule = "`all`, `first:N` with N >= 2, or a comma-separated list of two or more class numbers or names"
    if text == "all":
        return None
    if text.startswith("first:"):
        number = text.removeprefix("first:")
        require(number.isdecimal() and int(number) >= 2 and number[0] != "0", rule, "data.classes", text)
        return int(number)
    items = tuple(text.split(","))
    hint = f" (`first:{text}` takes the first {text})" if text.isdecimal() else ""
    require(len(items) >= 2 and all(items), rule + hint, "data.classes", text)
    require(
        all(item == item.strip() for item in items), "a list without blanks around the commas", "data.classes", text
    )
    require(len(set(items)) == len(items), "a list without repetition", "data.classes", text)
    return items
