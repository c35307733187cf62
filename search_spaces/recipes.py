"""Teachers' recipes: which one fits a data set, an image size and the first weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search_spaces.loader import FOLDER, SpaceError, check_keys, flat_overrides, read_toml

RECIPES = FOLDER / "teachers.toml"
"""The built-in recipes."""

KEYS = {"name": str, "datasets": list, "smallest": int, "largest": int, "init": str, "evidence": str, "set": dict}


@dataclass(frozen=True)
class Recipe:
    """How a teacher is trained where the conditions hold."""

    name: str
    """One line: for what it is."""
    datasets: tuple[str, ...]
    """Names of the data sets that it is for."""
    init: str
    """What training starts from, as ``teacher.init``."""
    evidence: str
    """What it rests on: where it was run, or that it was not."""
    overrides: Mapping[str, Any]
    """Dotted key, ``teacher.*``, to scalar."""
    smallest: int = 1
    """Least image size in pixels."""
    largest: int | None = None
    """Greatest image size in pixels; None for any."""

    def fits(self, dataset: str, *, image_size: int, init: str) -> bool:
        """Return whether the recipe is for such a teacher."""
        within = self.smallest <= image_size and (self.largest is None or image_size <= self.largest)
        return dataset in self.datasets and self.init == init and within


def load_recipes(path: Path = RECIPES) -> tuple[Recipe, ...]:
    """Return the recipes of a file, in its order.

    Raises:
        SpaceError: it is malformed, or a recipe sets something else than ``teacher.*``, or what chooses it.
    """
    table = read_toml(path)
    check_keys(path, table, {"recipe": list}, "a file of recipes")
    return tuple(_recipe(path, entry, f"recipe {number}") for number, entry in enumerate(table["recipe"], 1))


def _recipe(path: Path, entry: Mapping[str, Any], where: str) -> Recipe:
    check_keys(path, entry, KEYS, where)
    for key in ("name", "datasets", "init", "evidence", "set"):
        if key not in entry:
            raise SpaceError(f"{path}: {where} must have a `{key}`, but it has none.")
    overrides = flat_overrides(path, entry["set"], where)
    for key in overrides:
        if not key.startswith("teacher.") or key in ("teacher.init", "teacher.architecture", "teacher.seed"):
            raise SpaceError(f"{path}: {where} must set how a teacher is trained, `teacher.*`, but it sets `{key}`.")
    return Recipe(
        name=entry["name"],
        datasets=tuple(entry["datasets"]),
        init=entry["init"],
        evidence=entry["evidence"],
        overrides=overrides,
        smallest=entry.get("smallest", 1),
        largest=entry.get("largest"),
    )


def teacher_recipe(dataset: str, *, image_size: int, init: str) -> Recipe | None:
    """Return the first built-in recipe that fits, or None: then the configuration's defaults stand."""
    return next((r for r in load_recipes() if r.fits(dataset, image_size=image_size, init=init)), None)
