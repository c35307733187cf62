"""The tidy frame that every report starts from: a line per planned run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from harness.records import Plan
from reports.sources import Recorded, Source, choose_plan, open_source

ACCURACIES = ("last", "best_on_test", "final_mean")
"""Columns that hold a fraction, under the names that result.json uses."""
NUMBERS = (
    *ACCURACIES, "final_sd", "final_epochs", "validation_last", "best_epoch", "seconds", "cpu_seconds",
    "images_per_second", "finished",
)  # fmt: skip
"""Columns that hold a number of result.json; NaN unless the run is done and was measured so."""
ENVIRONMENT = ("processor", "device", "threads", "python", "torch", "torchvision", "engine")
"""Columns that say on what a run was made, in the order in which a report names it; empty unless done."""
MADE_FROM = ("teacher_hash", "test_fingerprint", "train_fingerprint", "numerics")
"""Columns that hold, with the configuration, what a run's identity is made from; None where it has none."""
SETTING = "config."
"""Begins the columns that hold the fields of the configuration."""


def load_runs(where: Source | Path | str, grid: str | None = None, *, key: str | None = None) -> pd.DataFrame:
    """Return the runs of a grid: from a run store's folder, or from MLflow by its tracking URI, the same either way.

    ``key`` is the beginning of a plan's key, for a grid that was planned more than once. The columns are those of
    ``runs_frame``.

    Raises:
        ReportError: no such store, no such grid, or several plans of it.
    """
    source = open_source(where)
    return runs_frame(source, choose_plan(source, grid, key=key))


def runs_frame(where: Source | Path | str, plan: Plan) -> pd.DataFrame:
    """Return one line per planned run, in the plan's order, whatever there is of it.

    Columns: ``row``, ``seed``, ``cell`` (its id; two rows may share one), ``status`` (``done``, ``diverged``,
    ``failed``, ``todo``); ``last``, ``best_on_test`` and ``final_mean``, which are fractions, and the other
    ``NUMBERS`` (``seconds`` and ``cpu_seconds`` of training, ``finished`` in Unix time); ``epochs`` finished;
    ``error``; ``trainer``, the fingerprints of the code that trained it, joined by +, empty unless done; the machine,
    under the names in ``ENVIRONMENT``; the names in ``MADE_FROM``; and every field of the configuration, such as
    ``config.seed``; both of these are None unless the run has started.
    """
    cells = open_source(where).cells(plan.ids)
    planned = [(cell.row, cell.seed, cell.id) for cell in plan.cells]
    columns = {name: [each[i] for each in planned] for i, name in enumerate(("row", "seed", "cell"))}
    frame = pd.DataFrame(columns | _columns([cells[cell.id] for cell in plan.cells]))
    return frame.astype({name: float for name in NUMBERS})


def _columns(cells: list[Recorded]) -> dict[str, Sequence[Any]]:
    """Return what is known of each cell, by column."""
    missing = float("nan")
    machines: list[Mapping[str, Any]] = [cell.result.get("environment", {}) for cell in cells]
    settings: list[Mapping[str, Any]] = [cell.config.get("config", {}) for cell in cells]
    fields = {f"{SETTING}{key}": values for key, values in _by_field(settings).items()}
    return {
        "status": [cell.status for cell in cells],
        **{name: [cell.result.get(name, missing) for cell in cells] for name in NUMBERS},
        "epochs": [cell.epochs for cell in cells],
        "error": [cell.error for cell in cells],
        "trainer": ["+".join(cell.result.get("trainer", ["unknown"])) if cell.result else "" for cell in cells],
        **{name: [str(machine.get(name, "")) for machine in machines] for name in ENVIRONMENT},
        **{name: [cell.config.get(name) for cell in cells] for name in MADE_FROM},
        **fields,
    }


def _by_field(settings: Sequence[Mapping[str, Any]]) -> dict[str, Sequence[Any]]:
    """Return of each field the values in all ``settings``, None where it has none."""
    fields = tuple(dict.fromkeys(key for each in dict.fromkeys(map(tuple, settings)) for key in each))
    # Nearly all have the same fields in the same order, so that a million values need not be looked up one by one.
    lines = (one.values() if tuple(one) == fields else map(one.get, fields) for one in settings)
    return dict(zip(fields, zip(*lines, strict=True), strict=True))
