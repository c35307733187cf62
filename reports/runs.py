"""One line per run: what it reached, what it cost, and on what it ran."""

from collections.abc import Collection
from pathlib import Path

import pandas as pd

from harness.records import Plan, read_cell
from reports.render import DAGGER

ENVIRONMENT = ("processor", "device", "threads", "python", "torch", "torchvision")
"""What result.json says of the machine, in the order in which a report names it."""


def runs_table(store: Path, plan: Plan) -> pd.DataFrame:
    """Return one line per planned run that is done, in the plan's order.

    Columns: ``row``, ``seed``, ``cell``; ``trainer``, the first digits of the fingerprint of its code; ``last`` and
    ``best_on_test`` accuracy in percent; ``cpu_minutes`` (of all threads) and ``minutes`` of training, without the
    evaluations; and the machine, under the names in ``ENVIRONMENT``.
    """
    lines = []
    for planned in plan.cells:
        result = read_cell(store, planned.id).result
        if result is not None:
            about = {name: result["environment"].get(name, "") for name in ENVIRONMENT}
            measured = {
                "last": 100 * result["last"],
                "best_on_test": 100 * result["best_on_test"],
                "cpu_minutes": result["cpu_seconds"] / 60,
                "minutes": result["seconds"] / 60,
            }
            trainer = "+".join(each[:8] for each in result.get("trainer", ["unknown"]))
            named = {"row": planned.row, "seed": planned.seed, "cell": planned.id, "trainer": trainer}
            lines.append({**named, **measured, **about})
    columns = ["row", "seed", "cell", "trainer", "last", "best_on_test", "cpu_minutes", "minutes", *ENVIRONMENT]
    return pd.DataFrame(lines, columns=columns)


def render_runs(runs: pd.DataFrame, *, planned: int, stale: Collection[str] = ()) -> str:
    """Return the lines of ``runs_table`` as a Markdown table, with the machines and the cost of all below.

    Cells that are ``stale`` have a dagger beside their trainer's fingerprint.
    """
    shown = pd.DataFrame(
        {
            "Row": runs["row"],
            "Seed": runs["seed"],
            "Last epoch (%)": runs["last"].map("{:.2f}".format),
            "Best epoch on test, oracle (%)": runs["best_on_test"].map("{:.2f}".format),
            "CPU minutes": runs["cpu_minutes"].map("{:.1f}".format),
            "Minutes": runs["minutes"].map("{:.1f}".format),
            "Cell": runs["cell"],
            "Trainer": runs["trainer"].where(~runs["cell"].isin(list(stale)), runs["trainer"] + f" {DAGGER}"),
        }
    )
    distinct = runs.drop_duplicates("cell")
    machines = distinct.groupby(list(ENVIRONMENT), sort=False).size()
    parts = [
        shown.to_markdown(index=False, disable_numparse=True),
        f"{len(runs)} of {planned} planned runs done, {len(distinct)} distinct cells: "
        f"{distinct['cpu_minutes'].sum() / 60:.2f} CPU hours of training.",
    ]
    if number := distinct["cell"].isin(list(stale)).sum():
        parts.append(f"{DAGGER} {number} cells are stale: trained by code that has changed since.")
    for values, count in machines.items():
        assert isinstance(values, tuple)
        named = ", ".join(f"{name} {value}" for name, value in zip(ENVIRONMENT, values, strict=True))
        parts.append(f"{count} cells on: {named}.")
    return "\n\n".join(parts) + "\n"
