"""What the store knows of a space before a search: the values of finished cells, and how much a seed moves them."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import variance
from typing import Any

from dfkd import NUMERICS
from dfkd.config import RunConfig
from dfkd.errors import ConfigError
from dfkd.overrides import with_overrides
from harness.records import read_json
from harness.search.objectives import Objective, read_values
from harness.search.points import Point, Points
from harness.store import Store


@dataclass(frozen=True)
class Known:
    """A finished cell that lies in the space."""

    cell_id: str
    """Its identity."""
    point: Point
    """Where in the space."""
    values: tuple[float, ...]
    """Of the objectives, finite all."""
    seed: int
    """Of its run."""
    same_seed: bool
    """Whether that is the search's, so that the search would run this very cell."""


def known_cells(store: Store, points: Points, objectives: Sequence[Objective]) -> list[Known]:
    """Return every finished cell that the search would run if it came to its point, or would but for the seed.

    Everything outside the space is equal: teacher, test images, budget, ``dfkd.NUMERICS``. Cells for which an objective
    was not measured are left out. The order is that of their identities.
    """
    found = []
    for path in sorted((store.root / "cells").glob("*/result.json")):
        cell_id = path.parent.name
        config = _config(read_json(path.parent / "config.json"), points)
        point = points.point_of(config) if config else None
        if config is None or point is None:
            continue
        values = [
            value for value in read_values(store, cell_id, objectives, classes=points.classes) if value is not None
        ]
        if len(values) == len(objectives) and all(map(math.isfinite, values)):
            found.append(Known(cell_id, point, tuple(values), config.seed, points.cell(point).id == cell_id))
    return found


def _config(content: Mapping[str, Any] | None, points: Points) -> RunConfig | None:
    """Return a cell's configuration; None if it was another teacher's, on other images, or of another version."""
    made_with = (points.teacher_hash, points.test_fingerprint, NUMERICS)
    if content is None or (content["teacher_hash"], content["test_fingerprint"], content["numerics"]) != made_with:
        return None
    try:
        return with_overrides(RunConfig(), content["config"])
    except ConfigError:  # written by a version that had other fields
        return None


def seed_noise(known: Sequence[Known], points: Points) -> float | None:
    """Return the sd over seeds (n - 1) of the first objective, pooled over points run with two seeds or more.

    None if there is no such point.
    """
    groups: defaultdict[str, list[float]] = defaultdict(list)
    for one in known:
        groups[points.cell(one.point).id].append(one.values[0])
    repeated = [values for values in groups.values() if len(values) > 1]
    if not repeated:
        return None
    squares = sum(variance(values) * (len(values) - 1) for values in repeated)
    return math.sqrt(squares / sum(len(values) - 1 for values in repeated))
