"""What ``dfkd search`` prints once it has ended: the best trials, and what of their gain is left on other seeds."""

import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from dfkd.overrides import flatten
from harness.cli.options import errors
from harness.cli.outcome import conclude
from harness.passes import ROUNDS, STEPS
from harness.store import Store

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from harness.search.confirm import Confirmed
    from harness.search.objectives import Objective
    from harness.search.run import PreparedSearch, Runner
    from harness.search.study import Study

DEFAULT_BEST = 3
"""Rows of the grid of the best, besides the settings as they are."""


def conclude_search(
    asked: "PreparedSearch", study: "Study", *, store: Store, console: Console, count: int
) -> list["FrozenTrial"] | None:
    """Print what came out and write the grid of the ``count`` best trials, which are returned, the best first.

    Those of the settings as they are are not among them. None if no trial has a value.
    """
    from harness.search.conclude import count_trials, write_best_grid
    from harness.search.ranking import best_trials, distinct_best
    from harness.search.view import show_point, show_values

    folder = store.root / "studies" / asked.name
    console.print(f"{count_trials(study)}, in {folder}", markup=False)
    front = best_trials(study.trials, asked.objectives)
    if not front:
        errors.print("No trial has a value, so there is no best one. `dfkd status` lists the errors.", markup=False)
        return None
    start = asked.points.cell_of(asked.points.base).id
    as_it_is = _start_values(asked, study, store)
    if as_it_is is not None:
        point = asked.points.point_of(asked.points.base) or {}
        console.print(f"As it is: {show_values(as_it_is, asked.objectives)}  {show_point(point)}", markup=False)
    if len(asked.objectives) > 1:
        console.print(_front_table(front, asked))
    else:
        best = front[0]
        values = show_values(best.values, asked.objectives)
        console.print(f"Best: {values}  {_origin(best)}, cell {best.user_attrs['cell']}")
        console.print(f"  as a grid's or a run's settings: {_as_options(best, asked)}", markup=False)
    chosen = distinct_best(study.trials, asked.objectives, count=count, besides=start)
    write_best_grid(folder / "best.toml", asked.points.space, chosen)
    return chosen


def _start_values(asked: "PreparedSearch", study: "Study", store: Store) -> tuple[float, ...] | None:
    """Return the objectives of the settings as they are; None if nobody has run them."""
    from harness.search.ranking import complete

    start = asked.points.cell_of(asked.points.base).id
    in_study = (tuple(trial.values) for trial in complete(study.trials) if trial.user_attrs["cell"] == start)
    return next(in_study, None) or asked.values_of(store, start)


def _origin(trial: "FrozenTrial") -> str:
    if "index" in trial.user_attrs:
        return f"trial {trial.user_attrs['index']}"
    return "a run in MLflow" if trial.user_attrs.get("source") == "MLflow" else "a cell that was there before"


def _as_options(trial: "FrozenTrial", asked: "PreparedSearch") -> str:
    """Return the options that make the trial's cell, with the rhythm that a matched budget has given it."""
    settings = dict(trial.params)
    if asked.points.passes is not None:
        ran = flatten(asked.points.cell(trial.params).config)
        settings |= {key: ran[key] for key in (ROUNDS, *STEPS)}
    return " ".join(f"--set {shlex.quote(f'{key}={value}')}" for key, value in settings.items())


def _front_table(front: Sequence["FrozenTrial"], asked: "PreparedSearch") -> Table:
    title = "Pareto front: trials that no other one beats in one objective and equals in the rest"
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("trial", no_wrap=True)
    for objective in asked.objectives:
        table.add_column(objective.title, justify="right")
    table.add_column("settings")
    by_cell = {trial.user_attrs["cell"]: trial for trial in reversed(front)}
    for trial in reversed(by_cell.values()):
        values = [objective.show(value) for objective, value in zip(asked.objectives, trial.values, strict=True)]
        table.add_row(_origin(trial), *values, _as_options(trial, asked))
    return table


def hint_at_seeds(path: Path, console: Console, *, match_budget: bool) -> None:
    """Say how to find out whether the best is more than luck."""
    matched = " both with `--match-budget`," if match_budget else ""
    console.print(
        "How much of the gain is left on other seeds: the same command with `--then-confirm 3 --seeds` and seeds that "
        f"it has not used; or dfkd ablate, then dfkd report,{matched} of the grid\n  {path}",
        markup=False,
    )


def confirm(
    asked: "PreparedSearch",
    study: "Study",
    best: Sequence["FrozenTrial"],
    runner: "Runner",
    *,
    store: Store,
    seeds: tuple[int, ...],
) -> int:
    """Run the best on fresh seeds and print how much of the search's gain is left; return the exit status."""
    from harness.search.conclude import AS_IT_IS
    from harness.search.confirm import TEST, caution, confirmed, verdict
    from harness.search.run import prepare_grid

    console = runner.console
    if not best:
        console.print("No other trial than the settings as they are has a value: there is nothing to confirm.")
        return 0
    path = store.root / "studies" / asked.name / "best.toml"
    prepared = prepare_grid(path, asked.task, seeds, store=store)
    console.print(f"\nOn seeds {', '.join(map(str, seeds))}, which the search has not used: {path}", markup=False)
    runner.run(prepared, asked.task, store=store)
    status = conclude(prepared.plan, store, console)
    start = _start_values(asked, study, store)
    for number, objective in enumerate((*asked.objectives, TEST)):
        searched: dict[str, float | None] = {}
        if objective is not TEST:
            searched = {f"best {rank}": trial.values[number] for rank, trial in enumerate(best, 1)}
            searched[AS_IT_IS] = start[number] if start is not None else None
        rows = confirmed(store, prepared.plan, objective, searched=searched, classes=asked.points.classes)
        console.print(_confirmation_table(rows, objective, asked.task.seed, in_search=objective is not TEST))
        if objective is not TEST:
            for row in rows:
                if row.row != AS_IT_IS:
                    console.print(verdict(row, rows[0], objective), markup=False)
    console.print(caution(len(best), asked.objectives), markup=False)
    return status


def _confirmation_table(rows: Sequence["Confirmed"], objective: "Objective", seed: int, *, in_search: bool) -> Table:
    title = objective.title if in_search else f"{objective.title}: reported only, it chose nothing"
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("", no_wrap=True)
    if in_search:
        table.add_column(f"in the search, seed {seed}", justify="right")
    for heading in ("fresh seeds, mean ± sd", "n", f"better than {rows[0].row!r}, paired", "95 % interval"):
        table.add_column(heading, justify="right")
    for row in rows:
        searched = [objective.show(row.searched) if row.searched is not None else "-"] if in_search else []
        table.add_row(row.row, *searched, *_numbers(row, objective, is_reference=row is rows[0]))
    return table


def _numbers(row: "Confirmed", objective: "Objective", *, is_reference: bool) -> list[str]:
    mean = "-" if math.isnan(row.mean) else objective.show(row.mean)
    spread = "" if math.isnan(row.sd) else f" ± {objective.show(row.sd)}"
    if is_reference or math.isnan(row.gain):
        return [mean + spread, str(len(row.values)), "", ""]
    interval = " to ".join(map(objective.show_difference, row.interval)) if row.interval else "-"
    return [mean + spread, str(len(row.values)), objective.show_difference(row.gain), interval]
