"""From a grid, a data set, a budget and seeds to cells with an identity."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import search_spaces
from dfkd import NUMERICS
from dfkd.config import RunConfig
from dfkd.errors import ConfigError
from dfkd.overrides import canonical, changed, check_key, flatten, parse_scalar, with_overrides
from harness.records import Plan, PlannedCell
from search_spaces import Grid, GridFile, Recipe

DEFAULT_BUDGET = "paper"
"""Of data sets that name no other."""


def digest(content: Any) -> str:
    """Return 16 hexadecimal digits of a hash of JSON content, independent of the order of keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Return the overrides of ``--set KEY=VALUE`` options; raise ConfigError for a malformed or repeated one."""
    overrides: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise ConfigError(f"`--set` must be given KEY=VALUE, but got {setting!r}.")
        value = parse_scalar(key, text)
        if overrides.get(key, value) != value:
            raise ConfigError(f"`--set {key}` must be given once, but it is given as {overrides[key]} and {value}.")
        overrides[key] = value
    return overrides


def parse_seeds(text: str) -> tuple[int, ...]:
    """Return the seeds of ``0,1,2``; raise ConfigError for a malformed or repeated one."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts) or len({int(part) for part in parts}) < len(parts):
        raise ConfigError(
            f"`--seeds` must be distinct whole numbers joined by commas, such as 0,1,2, but it is {text!r}."
        )
    return tuple(int(part) for part in parts)


def _apply(config: RunConfig, overrides: Mapping[str, Any], *, path: Path, after: int = 0) -> RunConfig:
    """Return the overridden configuration; a ConfigError names the file and the line, beyond ``after``."""
    try:
        return with_overrides(config, overrides)
    except ConfigError as error:
        wrong = next((key for key in overrides if f"`{key}`" in str(error)), None)
        at = search_spaces.place(path, wrong, after) if wrong else str(path)
        raise ConfigError(f"{at}: {error}") from None


def _check_dataset(dataset: str, settings: Mapping[str, Any]) -> None:
    """Raise ConfigError if ``--set data.dataset`` contradicts the data set asked for."""
    if settings.get("data.dataset", dataset) != dataset:
        raise ConfigError(
            f"`--set data.dataset` must agree with the data set asked for, but it is {settings['data.dataset']!r} and "
            f"the data set is {dataset!r}. Leave it out."
        )


def budget_of(dataset: str, budget: str | None) -> str:
    """Return the name of the budget: the one asked for, or the data set's own."""
    return budget or search_spaces.load_dataset(dataset).budget or DEFAULT_BUDGET


def base_config(dataset: str, *, budget: str | None, settings: Mapping[str, Any]) -> RunConfig:
    """Return the default configuration with a data set's settings, its teacher's recipe, a budget's, then ``settings``.

    Raises:
        ConfigError: an unknown key or data set, a value of another type, or a broken rule.
        SpaceError: an unknown budget, or a malformed file.
    """
    return with_overrides(_presets(dataset, budget=budget, settings=settings), settings)


def _presets(dataset: str, *, budget: str | None, settings: Mapping[str, Any]) -> RunConfig:
    """Return the configuration that ``settings`` will change; they are looked at to choose the teacher's recipe."""
    _check_dataset(dataset, settings)
    preset = search_spaces.load_dataset(dataset)
    config = _apply(with_overrides(RunConfig(), {"data.dataset": dataset}), preset.overrides, path=preset.path)
    recipe = chosen_recipe(with_overrides(config, settings))
    if recipe is not None:
        config = _apply(config, recipe.overrides, path=search_spaces.RECIPES)
    if budget is not None:
        chosen = search_spaces.load_budget(budget)
        _refuse_shared_keys(chosen.overrides, chosen.path, "the runs of a budget")
        config = _apply(config, chosen.overrides, path=chosen.path)
    return config


def chosen_recipe(config: RunConfig) -> Recipe | None:
    """Return the recipe for the teacher of such a configuration; None where the defaults stand."""
    return search_spaces.teacher_recipe(
        config.data.dataset, image_size=config.data.image_size, init=config.teacher.init
    )


def _refuse_shared_keys(overrides: Mapping[str, Any], path: Path, whose: str, *, after: int = 0) -> None:
    """Raise ConfigError if a file sets what teacher, cells and tables must agree on."""
    for key in overrides:
        if key == "seed" or key.startswith(("data.", "teacher.")):
            raise ConfigError(
                f"{search_spaces.place(path, key, after)}: {whose} must share teacher, data and seeds, but `{key}` is "
                "set. Give it with `--set` or `--seeds`."
            )


@dataclass(frozen=True)
class Request:
    """A grid's rows with their configurations, before it is known which teacher and which images."""

    grid: Grid
    dataset: str
    budget: str
    seeds: tuple[int, ...]
    settings: Mapping[str, Any]
    base: RunConfig
    rows: Mapping[str, RunConfig]

    def key(self, teacher_hash: str | None) -> str:
        """Return the hash under which the plan is stored; ``teacher_hash`` only if the teacher was named by a path."""
        rows = [[name, canonical(config)] for name, config in self.rows.items()]
        recipe = changed(self.base, ("teacher.",))
        return digest([self.grid.name, self.grid.reference, rows, list(self.seeds), recipe, teacher_hash, NUMERICS])


def expand(
    loaded: GridFile, *, dataset: str, budget: str | None, seeds: tuple[int, ...], settings: Mapping[str, Any]
) -> Request:
    """Return the grid expanded over its rows: a row's own overrides win over ``settings``, and those over the rest.

    Without a ``budget`` it is the data set's own.

    Raises:
        ConfigError: an unknown key, a value of another type, a broken rule, or a setting that every row overrides.
        SpaceError: an unknown budget, a malformed file, or an operator that breaks a rule.
    """
    for key in settings:
        check_key(key)
    if "seed" in settings:
        raise ConfigError(
            f"The seeds of a grid must be given with `--seeds`, but `--set seed={settings['seed']}` was given."
        )
    _check_dataset(dataset, settings)
    budget = budget_of(dataset, budget)
    presets = _presets(dataset, budget=budget, settings=settings)
    for file in loaded.files:
        _refuse_shared_keys(file.base, file.path, "the rows of a grid")
        _apply(presets, file.base, path=file.path)
    grid = loaded.expanded(flatten(presets), settings)
    for key in settings:
        if all(key in row.overrides for row in grid.rows):
            raise ConfigError(
                f"`--set {key}` must have an effect, but every row of {grid.path} sets it. Edit a copy of the file."
            )
    base = with_overrides(_apply(presets, grid.base, path=grid.path), settings)
    rows = {}
    for row in grid.rows:
        path = row.path or grid.path
        _refuse_shared_keys(row.overrides, path, "the rows of a grid", after=row.line)
        rows[row.name] = _apply(base, row.overrides, path=path, after=row.line)
    return Request(grid, dataset, Path(budget).stem, seeds, dict(settings), base, rows)


@dataclass(frozen=True)
class Cell:
    """One configuration with one seed, and everything that its result depends on."""

    config: RunConfig
    teacher_hash: str
    test_fingerprint: str
    train_fingerprint: str | None = None
    """Of the training images, where the student learns from them."""

    @property
    def id(self) -> str:
        """Return the identity: equal for runs that must come out equal."""
        return self.identity(canonical(self.config))

    def identity(self, made_from: Mapping[str, Any]) -> str:
        """Return the identity, given the canonical configuration."""
        shown = [self.train_fingerprint] if self.train_fingerprint else []
        return digest([made_from, self.teacher_hash, self.test_fingerprint, NUMERICS, *shown])

    def record(self) -> dict[str, Any]:
        """Return what config.json holds: the whole configuration, and what the identity is made from."""
        return {
            "id": self.id,
            "config": flatten(self.config),
            "canonical": canonical(self.config),
            "teacher_hash": self.teacher_hash,
            "test_fingerprint": self.test_fingerprint,
            "train_fingerprint": self.train_fingerprint,
            "numerics": NUMERICS,
        }


def make_plan(
    request: Request,
    *,
    teacher_hash: str,
    named: bool,
    test_fingerprint: str,
    context: Mapping[str, Any],
    train_fingerprint: str | None = None,
) -> tuple[Plan, dict[str, Cell]]:
    """Return the plan and its distinct cells by identity; ``named`` if the teacher was given by its path.

    ``train_fingerprint`` is needed if a row learns from real images, and enters the identity of no other.
    """
    planned: list[PlannedCell] = []
    cells: dict[str, Cell] = {}
    default_seed = RunConfig().seed
    for name, config in request.rows.items():
        shared = {key: value for key, value in canonical(config).items() if key != "seed"}
        for seed in request.seeds:
            shown = train_fingerprint if config.learns_from_real_images else None
            cell = Cell(replace(config, seed=seed), teacher_hash, test_fingerprint, shown)
            # What the seeds of a row share is worked out once: a plan may have ten thousand cells.
            identity = cell.identity(shared | ({"seed": seed} if seed != default_seed else {}))
            planned.append(PlannedCell(identity, name, seed))
            cells.setdefault(identity, cell)
    plan = Plan(
        key=request.key(teacher_hash if named else None),
        grid=request.grid.name,
        title=request.grid.title,
        rows=tuple(request.rows),
        reference=request.grid.reference,
        seeds=request.seeds,
        cells=tuple(planned),
        context=context,
    )
    return plan, cells
