"""The tidy frame that every report starts from."""

from pathlib import Path

import pandas as pd

from harness.records import Plan, read_cell

ACCURACIES = ("last", "best_on_test", "final_mean")
"""Columns that hold a fraction, under the names that result.json uses."""


def runs_frame(store: Path, plan: Plan) -> pd.DataFrame:
    """Return one line per planned cell, in the plan's order, whatever the store holds of it.

    Columns: ``row``, ``seed``, ``cell`` (its id; two rows may share one), ``status`` (``done``, ``diverged``,
    ``failed``, ``todo``), and ``last``, ``best_on_test`` and ``final_mean``, which are fractions, NaN unless done.
    """
    records = {cell_id: read_cell(store, cell_id) for cell_id in plan.ids}
    lines = []
    for planned in plan.cells:
        record = records[planned.id]
        line = {"row": planned.row, "seed": planned.seed, "cell": planned.id, "status": record.status}
        accuracies = {name: record.result[name] if record.result else float("nan") for name in ACCURACIES}
        lines.append(line | accuracies)
    return pd.DataFrame(lines, columns=["row", "seed", "cell", "status", *ACCURACIES])
