"""Class subsets: the first N, or a list."""

from collections.abc import Sequence

import numpy as np

from dfkd.config import parse_classes
from dfkd.errors import DataError, nearest


def select_classes(
    choice: str, names: Sequence[str], labels: np.ndarray, *, numbers: Sequence[int] | None = None
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Return ``(positions, new labels, class names)`` of the items whose class is chosen.

    Args:
        choice: ``data.classes``.
        names: of all classes, by label.
        labels: of all items, from 0.
        numbers: the data set's own class numbers, by label; 0, 1, ... if None.

    Raises:
        DataError: a class that does not exist, or more classes than there are.
    """
    numbers = list(range(len(names))) if numbers is None else list(numbers)
    wanted = parse_classes(choice)
    if wanted is None:
        kept = list(range(len(names)))
    elif isinstance(wanted, int):
        if wanted > len(names):
            raise DataError(
                f"`data.classes` must not ask for more classes than the {len(names)} there are, but it is {choice!r}."
            )
        kept = list(range(wanted))
    else:
        known = {str(number): label for label, number in enumerate(numbers)} | {n: i for i, n in enumerate(names)}
        for item in wanted:
            if item not in known:
                raise DataError(
                    f"`data.classes` must list existing classes, but {item!r} is none. "
                    f"{nearest(item, names)} Numbers run from {numbers[0]} to {numbers[-1]}."
                )
        kept = [known[item] for item in wanted]
        if len(set(kept)) < len(kept):
            raise DataError(
                f"`data.classes` must list each class once, but {choice!r} names one by number and by name."
            )
    relabel = np.full(len(names), -1)
    relabel[kept] = np.arange(len(kept))
    new = relabel[labels]
    positions = np.flatnonzero(new >= 0)
    return positions, new[positions], tuple(names[label] for label in kept)
