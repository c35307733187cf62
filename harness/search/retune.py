"""Ablations that are tuned anew: for every row of a grid, a search of all that the row leaves free.

A row that only loses a term, at weights chosen with the term, may be bad because of the weights. Searches of equal
length for every row tell the two apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from optuna.trial import FrozenTrial

from dfkd.errors import ConfigError
from dfkd.overrides import Scalar
from harness.layers import refuse_shared_keys, settings_for
from harness.plan import digest, expand
from harness.records import Plan
from harness.search.conclude import write_grid
from harness.search.confirm import Confirmed, confirmed
from harness.search.objectives import Objective
from harness.search.ranking import ranked
from harness.search.run import PreparedSearch, Task, prepare_search
from harness.search.study import Study
from harness.store import Store
from search_spaces import GridFile, Space

RETUNED = ", re-tuned"
"""Behind the name of a row whose settings were searched anew."""


@dataclass(frozen=True)
class RowSearch:
    """A row of the grid and its search."""

    row: str
    """Name of the row."""
    overrides: Mapping[str, Scalar]
    """What the row fixes."""
    search: PreparedSearch
    """Of what it leaves free."""


@dataclass(frozen=True)
class Ablation:
    """A grid whose rows are searched."""

    name: str
    """Of its folder in the store: space, grid and a hash of everything else."""
    title: str
    """For a caption."""
    reference: str
    """The row that differences are taken from."""
    base: Mapping[str, Scalar]
    """What every trial of every row shares."""
    rows: tuple[RowSearch, ...]
    """In the grid's order."""
    task: Task
    """What all rows share."""

    @property
    def classes(self) -> int:
        """Return how many the networks tell apart."""
        return self.rows[0].search.points.classes


def prepare_ablation(
    space: Space, grid: GridFile, task: Task, *, objectives: tuple[Objective, ...], store: Store
) -> Ablation:
    """Return the searches of a grid's rows, all of them checked.

    Raises:
        UserError: as for one search, or a row leaves nothing to search.
        SpaceError: the grid is malformed.
    """
    for key in space.base.keys() & grid.base.keys():
        if space.base[key] != grid.base[key]:
            raise ConfigError(
                f"A space and a grid must agree on what they share, but `{key}` is {space.base[key]!r} in {space.path} "
                f"and {grid.base[key]!r} in {grid.path}. Edit a copy of one of them."
            )
    base = {**space.base, **grid.base}
    refuse_shared_keys(grid.base, grid.path, "the rows of `--ablate`")
    request = expand(
        replace(grid, base=base), dataset=task.dataset, budget=task.budget, seeds=(task.seed,), settings=task.settings
    )
    rows = []
    for row in request.grid.rows:
        refuse_shared_keys(row.overrides, row.path or grid.path, "the rows of `--ablate`", after=row.line)
        left = replace(space, base=base).freeze(row.overrides)
        if not left.parameters:
            raise ConfigError(
                f"Every row of {grid.path} must leave something to search, but {row.name!r} fixes all of {space.path}."
            )
        method = request.rows[row.name].method
        fixed = replace(task, settings={**settings_for(task.settings, method), **row.overrides})
        search = prepare_search(left, fixed, objectives=objectives, store=store, purpose=f"{grid.name}: {row.name}")
        rows.append(RowSearch(row.name, row.overrides, search))
    name = f"{space.name}-{grid.name}-{digest([row.search.name for row in rows])[:8]}"
    return Ablation(name, f"{grid.title}, tuned anew", request.grid.reference, base, tuple(rows), task)


@dataclass(frozen=True)
class Found:
    """What the search of a row came to."""

    row: str
    """Name of the row."""
    as_it_is: float | None
    """The objective at the row's settings as they are; None if nobody has run them."""
    best: FrozenTrial | None
    """The best of the trials that count; None if none has a value."""
    trials: int
    """How many count: the first ones that were suggested, as many in every row."""


def found_of(row: RowSearch, study: Study, *, store: Store, trials: int) -> Found:
    """Return what came out of a row's first ``trials``; with more of them it would not compare with the other rows."""
    search = row.search
    own = [trial for trial in study.own if trial.user_attrs["index"] < trials]
    start = search.values_of(store, search.points.cell_of(search.points.base).id)
    best = ranked(own, search.objectives)
    return Found(row.row, start[0] if start else None, best[0] if best else None, len(own))


def write_retuned_grid(path: Path, ablation: Ablation, found: Sequence[Found]) -> None:
    """Write a grid with every row as it is, and with the best that was found for it."""
    rows: dict[str, Mapping[str, Scalar]] = {}
    for row, result in zip(ablation.rows, found, strict=True):
        rows[row.row] = row.overrides
        if result.best is not None:
            rows[row.row + RETUNED] = {**row.overrides, **result.best.params}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_grid(path, title=ablation.title, reference=ablation.reference, base=ablation.base, rows=rows)


def confirmed_rows(store: Store, plan: Plan, ablation: Ablation, objective: Objective) -> dict[str, Confirmed]:
    """Return every row of the grid on fresh seeds: as it is against the reference, re-tuned against that re-tuned."""
    found: dict[str, Confirmed] = {}
    for reference in (ablation.reference, ablation.reference + RETUNED):
        retuned = reference.endswith(RETUNED)
        names = [row.row + RETUNED if retuned else row.row for row in ablation.rows]
        rows = tuple(name for name in names if name in plan.rows)
        cells = tuple(cell for cell in plan.cells if cell.row in rows)
        if reference in rows:
            part = replace(plan, rows=rows, cells=cells, reference=reference)
            found |= {row.row: row for row in confirmed(store, part, objective, searched={}, classes=ablation.classes)}
    return found
