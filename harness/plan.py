"""From a grid, a data set, a budget and seeds to cells with an identity."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dfkd import NUMERICS
from dfkd.config import RunConfig
from dfkd.errors import ConfigError
from dfkd.overrides import canonical, changed, check_key, flatten
from harness.layers import Layers, apply, before_methods, budget_of, refuse_shared_keys, settings_for
from harness.passes import match_rows
from harness.records import Plan, PlannedCell
from search_spaces import Grid, GridFile


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
    match_budget: bool = False

    def key(self, teacher_hash: str | None) -> str:
        """Return the hash under which the plan is stored; ``teacher_hash`` only if the teacher was named by a path."""
        rows = [[name, canonical(config)] for name, config in self.rows.items()]
        recipe = changed(self.base, ("teacher.",))
        return digest([self.grid.name, self.grid.reference, rows, list(self.seeds), recipe, teacher_hash, NUMERICS])


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
    budget = budget_of(dataset, budget)
    start = before_methods(dataset, budget=budget, settings=settings)
    for file in loaded.files:
        refuse_shared_keys(file.base, file.path, "the rows of a grid")
        Layers(start, file.base, {}, file.path).check_base()
    layers = Layers(start, loaded.base, settings, loaded.path)
    own = settings_for(settings, layers.method)
    grid = loaded.expanded(flatten(layers.with_preset(layers.method)), own)
    methods = {}
    for row in grid.rows:
        methods[row.name] = row.overrides.get("method", layers.method)
        apply(start, {"method": methods[row.name]}, path=row.path or grid.path, after=row.line)
    layers.check({row.name: (methods[row.name], row.overrides) for row in grid.rows})
    starts = {method: layers.of(method) for method in {layers.method, *methods.values()}}
    rows = {}
    for row in grid.rows:
        path = row.path or grid.path
        refuse_shared_keys(row.overrides, path, "the rows of a grid", after=row.line)
        rows[row.name] = apply(starts[methods[row.name]], row.overrides, path=path, after=row.line)
    if match_budget:
        rows = match_rows(grid, rows)
    return Request(grid, dataset, Path(budget).stem, seeds, dict(settings), layers.base, rows, match_budget)


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
