"""``dfkd search --ablate``: a small search for every row of a grid, and what each term is worth once all is tuned."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from harness.cli.options import errors
from harness.cli.outcome import conclude
from harness.store import Store

if TYPE_CHECKING:
    from harness.search.confirm import Confirmed
    from harness.search.loop import Limits
    from harness.search.objectives import Objective
    from harness.search.retune import Ablation, Found
    from harness.search.run import Runner


def retune(
    ablation: "Ablation",
    runner: "Runner",
    *,
    store: Store,
    limits: "Limits",
    sampler: str,
    grace: int | None,
    seeds: tuple[int, ...],
) -> int:
    """Search every row, print what was found without each term, and confirm it on ``seeds`` if there are any.

    Return the exit status: 1 if a row has no trial with a value, or a cell of the confirmation is not done.
    """
    from harness.search.retune import found_of, write_retuned_grid
    from harness.search.run import run_search

    console = runner.console
    found = []
    for row in ablation.rows:
        console.print(f"\n{row.row}", style="bold", markup=False)
        study, stopped = run_search(
            row.search, runner, store=store, limits=limits, sampler=sampler, grace=grace, known=None
        )
        if stopped:
            console.print(f"Stopped early: {stopped}.", markup=False)
        found.append(found_of(row, study, store=store, trials=limits.trials))
    objective = ablation.rows[0].search.objectives[0]
    console.print()
    console.print(_found_table(found, ablation, objective))
    path = store.root / "studies" / ablation.name / "retuned.toml"
    write_retuned_grid(path, ablation, found)
    lacking = [each.row for each in found if each.best is None]
    if lacking:
        errors.print(f"No trial has a value in: {', '.join(lacking)}. `dfkd status` lists the errors.", markup=False)
    if not seeds:
        console.print(
            "Each is the best of its trials on one seed, so a difference may be luck. On other seeds: the same command "
            f"with `--then-confirm 1 --seeds`; or dfkd ablate, then dfkd report, of the grid\n  {path}",
            markup=False,
        )
        return int(bool(lacking))
    return max(int(bool(lacking)), _confirm(ablation, runner, objective, store=store, seeds=seeds))


def _found_table(found: Sequence["Found"], ablation: "Ablation", objective: "Objective") -> Table:
    reference = next(each for each in found if each.row == ablation.reference)
    table = Table(
        title=f"{ablation.title}: {objective.title}, seed {ablation.task.seed}",
        title_justify="left",
        title_style="bold",
    )
    table.add_column("", no_wrap=True)
    for heading in ("as it is", f"from {ablation.reference!r}", "best found", f"from best {ablation.reference!r}"):
        table.add_column(heading, justify="right")
    table.add_column("trials", justify="right")
    table.add_column("settings of the best")
    for each in found:
        best, reference_best = _best(each), _best(reference)
        table.add_row(
            each.row,
            _shown(each.as_it_is, objective),
            _difference(each.as_it_is, reference.as_it_is, objective, hide=each is reference),
            _shown(best, objective),
            _difference(best, reference_best, objective, hide=each is reference),
            str(each.trials),
            ", ".join(f"{key}={value}" for key, value in each.best.params.items()) if each.best else "",
        )
    return table


def _best(found: "Found") -> float | None:
    return found.best.values[0] if found.best else None


def _shown(value: float | None, objective: "Objective") -> str:
    return "-" if value is None or math.isnan(value) else objective.show(value)


def _difference(value: float | None, reference: float | None, objective: "Objective", *, hide: bool) -> str:
    if hide or value is None or reference is None:
        return ""
    return objective.show_difference(value - reference)


def _confirm(
    ablation: "Ablation", runner: "Runner", objective: "Objective", *, store: Store, seeds: tuple[int, ...]
) -> int:
    """Run every row as it is and re-tuned on fresh seeds, print what is left; return the exit status."""
    from harness.search.confirm import TEST, caution
    from harness.search.retune import RETUNED, confirmed_rows
    from harness.search.run import prepare_grid

    console = runner.console
    path = store.root / "studies" / ablation.name / "retuned.toml"
    prepared = prepare_grid(path, ablation.task, seeds, store=store)
    console.print(f"\nOn seeds {', '.join(map(str, seeds))}, which no search has used: {path}", markup=False)
    runner.run(prepared, ablation.task, store=store)
    status = conclude(prepared.plan, store, console)
    for each in (objective, TEST):
        rows = confirmed_rows(store, prepared.plan, ablation, each)
        told = "" if each is objective else ": reported only, it chose nothing"
        title = f"{ablation.title}: {each.title}{told}. Mean ± sd, and the paired difference with its 95 % interval"
        table = Table(title=title, title_justify="left", title_style="bold")
        table.add_column("", no_wrap=True)
        for heading in (
            "as it is",
            f"from {ablation.reference!r}",
            "re-tuned",
            f"from re-tuned {ablation.reference!r}",
        ):
            table.add_column(heading, justify="right")
        for row in ablation.rows:
            pair = (rows.get(row.row), rows.get(row.row + RETUNED))
            table.add_row(
                row.row, *(text for one in pair for text in _spread(one, each, row.row == ablation.reference))
            )
        console.print(table)
    console.print(caution(len(ablation.rows), [objective]), markup=False)
    return status


def _spread(row: "Confirmed | None", objective: "Objective", is_reference: bool) -> list[str]:
    if row is None or not row.values:
        return ["-", ""]
    sd = "" if math.isnan(row.sd) else f" ± {objective.show(row.sd)}"
    if is_reference or not row.gains:
        return [f"{objective.show(row.mean)}{sd} (n = {len(row.values)})", ""]
    interval = f" ({' to '.join(map(objective.show_difference, row.interval))})" if row.interval else ""
    return [
        f"{objective.show(row.mean)}{sd} (n = {len(row.values)})",
        objective.show_difference(row.gain) + interval,
    ]
