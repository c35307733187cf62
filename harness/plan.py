"""From a grid, a data set, a budget and seeds to cells with an identity."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from dfkd import NUMERICS
from dfkd.config import RunConfig
from dfkd.errors import ConfigError
from dfkd.overrides import canonical, changed, check_key, flatten, with_overrides
from harness.layers import SHARED, Layers, apply, before_methods, budget_of, located, refuse_seeds, settings_for
from harness.passes import match_rows, passes_words
from harness.records import Plan, PlannedCell
from search_spaces import Grid, GridFile, Row


def digest(content: Any) -> str:
    """Return 16 hexadecimal digits of a hash of JSON content, independent of the order of keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def parse_seeds(text: str) -> tuple[int, ...]:
    """Return the seeds of ``0,1,2``; raise ConfigError for a malformed or repeated one."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts) or len({int(part) for part in parts}) < len(parts):
        raise ConfigError(
            f"`--seeds` must be distinct whole numbers joined by commas, such as 0,1,2, but it is {text!r}."
        )
    return tuple(int(part) for part in parts)


BY_ROW = "by row"
"""Stands where the rows of a grid differ."""


@dataclass(frozen=True)
class Column:
    """The rows of a grid that share images and teacher: a column of its table."""

    config: RunConfig
    """Of its first row."""
    rows: Mapping[str, str]
    """Their names in the grid, in its order, by what a table calls them."""
    reference: str
    """What a table calls the row that differences are taken from: the grid's reference, or the first row."""
    named: str
    """What the first row names of images and teacher; empty if nothing."""
    overrides: Mapping[str, Any]
    """What was asked for of images, teacher and arithmetic, which is what ``dfkd teacher`` must be told."""


@dataclass(frozen=True)
class Request:
    """A grid's rows with their configurations, before it is known which teacher and which images."""

    grid: Grid
    dataset: str
    budget: str
    """Its name, or ``BY_ROW``."""
    seeds: tuple[int, ...]
    settings: Mapping[str, Any]
    base: RunConfig
    rows: Mapping[str, RunConfig]
    match_budget: bool = False

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """Return the columns, in the order of their first rows; one if all rows share images and teacher."""
        return columns_of(self.grid, self.rows, self.settings)

    @property
    def passes_words(self) -> str | None:
        """Return what the rows of each column cost beside its reference; None where all cost the same."""
        found = (
            passes_words({name: self.rows[name] for name in column.rows.values()}, column.rows[column.reference])
            for column in self.columns
        )
        return " ".join(filter(None, found)) or None

    @cached_property
    def canonical_rows(self) -> dict[str, dict[str, Any]]:
        """Return what identifies the runs of each row (``dfkd.overrides.canonical``), by its name."""
        return {name: canonical(config) for name, config in self.rows.items()}

    def key(self, teacher_hash: str | None) -> str:
        """Return the hash under which the plan is stored; ``teacher_hash`` only if the teacher was named by a path."""
        rows = [list(row) for row in self.canonical_rows.items()]
        recipes = [changed(column.config, ("teacher.",)) for column in self.columns]
        recipe = recipes[0] if len(recipes) == 1 else [recipes, [list(column.rows.values()) for column in self.columns]]
        return digest([self.grid.name, self.grid.reference, rows, list(self.seeds), recipe, teacher_hash, NUMERICS])


def columns_of(grid: Grid, rows: Mapping[str, RunConfig], settings: Mapping[str, Any]) -> tuple[Column, ...]:
    """Return the columns of a grid's ``rows``, which have their configurations by name."""
    grouped: dict[Any, list[Row]] = {}
    for row in grid.rows:
        grouped.setdefault((rows[row.name].data, rows[row.name].teacher), []).append(row)
    reference = next(row for row in grid.rows if row.name == grid.reference)
    columns = []
    for members in grouped.values():
        labels = [row.label or grid.name for row in members]
        if len(grouped) == 1 or len(set(labels)) < len(labels):
            labels = [row.name for row in members]
        wanted = reference.name if reference in members else reference.label or grid.name
        named = dict(zip(labels, (row.name for row in members), strict=True))
        first = members[0]
        asked = {**grid.base, **settings, **first.overrides}
        columns.append(
            Column(
                rows[first.name],
                named,
                next((label for label, name in named.items() if wanted in (label, name)), labels[0]),
                first.column,
                {key: value for key, value in asked.items() if key.startswith((*SHARED, "compute."))},
            )
        )
    return tuple(columns)


def expand(
    loaded: GridFile,
    *,
    dataset: str,
    budget: str | None,
    seeds: tuple[int, ...],
    settings: Mapping[str, Any],
    match_budget: bool = False,
) -> Request:
    """Return the grid expanded over its rows: a row's own overrides win over ``settings``, those over the grid's base,
    that over the preset of the row's method, and that over the rest.

    Without a ``budget`` it is the data set's own. With ``match_budget``, data-free rows are given the rhythm at which
    they cost what the reference row does (``harness.passes``).

    Raises:
        ConfigError: an unknown key, a value of another type, a broken rule, or a setting that reaches no row or makes
            of a method what it is not.
        SpaceError: an unknown budget, a malformed file, or an operator that breaks a rule.
    """
    for key in settings:
        check_key(key.rpartition(":")[2])
    if "seed" in settings:
        raise ConfigError(
            f"The seeds of a grid must be given with `--seeds`, but `--set seed={settings['seed']}` was given."
        )
    for file in loaded.files:
        refuse_seeds(file.base, file.path, base=True)
    start = before_methods(dataset, budget=budget_of(dataset, budget), settings={**loaded.base, **settings})
    for file in loaded.files:
        Layers(start, file.base, {}, file.path).check_base()
    layers = Layers(start, loaded.base, settings, loaded.path)
    own = settings_for(settings, layers.method)
    grid = loaded.expanded(flatten(layers.with_preset(layers.method)), own)
    methods = {}
    for row in grid.rows:
        refuse_seeds(row.overrides, row.path or grid.path, after=row.line)
        methods[row.name] = row.overrides.get("method", layers.method)
        apply(start, {"method": methods[row.name]}, path=row.path or grid.path, after=row.line)
    layers.check({row.name: (methods[row.name], row.overrides) for row in grid.rows})
    start_of = _Starts(layers, dataset, budget)
    rows = {}
    for row in grid.rows:
        path = row.path or grid.path
        with located(row.overrides, path, after=row.line):
            begun = start_of(methods[row.name], row.overrides)
        rows[row.name] = apply(begun, row.overrides, path=path, after=row.line)
    if match_budget:
        for column in columns_of(grid, rows, settings):
            rows |= match_rows(grid, {name: rows[name] for name in column.rows.values()}, column.rows[column.reference])
    budgets = {Path(budget_of(config.data.dataset, budget)).stem for config in rows.values()}
    shown = budgets.pop() if len(budgets) == 1 else BY_ROW
    return Request(grid, dataset, shown, seeds, dict(settings), layers.base, rows, match_budget)


class _Starts:
    """What rows start from, by what they set of images, teacher and method; worked out once for each."""

    def __init__(self, layers: Layers, dataset: str, budget: str | None) -> None:
        self._layers, self._dataset, self._budget = layers, dataset, budget
        self._known: dict[Any, RunConfig] = {}

    def __call__(self, method: str, overrides: Mapping[str, Any]) -> RunConfig:
        """Return the layers below the row's own ``overrides``: those of its data set, teacher's recipe and method."""
        own = {key: value for key, value in overrides.items() if key.startswith(SHARED)}
        made_from = (method, *sorted(own.items()))
        if made_from not in self._known:
            layers, dataset = self._layers, own.get("data.dataset", self._dataset)
            if own:
                with_overrides(RunConfig(), {"data.dataset": dataset})  # a data set that is none has no settings
                chosen = {**layers.grid_base, **layers.settings, **own, "data.dataset": dataset}
                start = before_methods(dataset, budget=budget_of(dataset, self._budget), settings=chosen)
                layers = replace(layers, start=start)
            self._known[made_from] = layers.of(method)
        return self._known[made_from]


@dataclass(frozen=True)
class Files:
    """Hashes of what a cell is run on."""

    teacher: str
    """Of the teacher's weights."""
    test: str
    """Of the test images."""
    train: str | None = None
    """Of the training images; needed if a row learns from them, and enters the identity of no other."""


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
    files: Mapping[str, Files],
    named: bool,
    context: Mapping[str, Any],
) -> tuple[Plan, dict[str, Cell]]:
    """Return the plan and its distinct cells by identity.

    ``files`` has those of each row by its name; the teacher is ``named`` if it was given by its path.
    """
    planned: list[PlannedCell] = []
    cells: dict[str, Cell] = {}
    default_seed = RunConfig().seed
    for name, config in request.rows.items():
        shared = {key: value for key, value in request.canonical_rows[name].items() if key != "seed"}
        made_of = files[name]
        shown = made_of.train if config.learns_from_real_images else None
        for seed in request.seeds:
            cell = Cell(replace(config, seed=seed), made_of.teacher, made_of.test, shown)
            # What the seeds of a row share is worked out once: a plan may have ten thousand cells.
            identity = cell.identity(shared | ({"seed": seed} if seed != default_seed else {}))
            planned.append(PlannedCell(identity, name, seed))
            cells.setdefault(identity, cell)
    plan = Plan(
        key=request.key(next(iter(files.values())).teacher if named else None),
        grid=request.grid.name,
        title=request.grid.title,
        rows=tuple(request.rows),
        reference=request.grid.reference,
        seeds=request.seeds,
        cells=tuple(planned),
        context=context,
    )
    return plan, cells
