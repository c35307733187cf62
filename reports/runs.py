"""One line per run: what it reached, what it cost, and on what it ran."""

from collections.abc import Collection
from pathlib import Path

import pandas as pd

from harness.records import Plan
from reports.frame import ENVIRONMENT, runs_frame
from reports.sheet import DAGGER, PLUS_MINUS, mean_and_sd
from reports.sources import Source


def runs_table(where: Source | Path | str, plan: Plan) -> pd.DataFrame:
    """Return one line per planned run that is done, in the plan's order.

    Columns: ``row``, ``seed``, ``cell``; ``trainer``, the first digits of the fingerprint of its code; in percent the
    accuracy after the ``last`` epoch, its mean and sd (n - 1) over the run's last ``final_epochs`` epochs as
    ``final_mean`` and ``final_sd``, which is NaN of a single one, and the highest, ``best_on_test``; ``cpu_minutes``
    (of all threads) and ``minutes`` of training, without the evaluations; and the machine, under the names in
    ``ENVIRONMENT``.
    """
    return finished_runs(runs_frame(where, plan))


def finished_runs(frame: pd.DataFrame) -> pd.DataFrame:
    """Return ``runs_table`` of the finished runs of ``runs_frame``."""
    done = frame[frame["status"] == "done"].reset_index(drop=True)
    named = done[["row", "seed", "cell"]].assign(
        trainer=done["trainer"].map(lambda used: "+".join(each[:8] for each in used.split("+"))).astype(str),
        last=100 * done["last"],
        final_mean=100 * done["final_mean"],
        final_sd=100 * done["final_sd"].where(done["final_epochs"] > 1),
        final_epochs=done["final_epochs"],
        best_on_test=100 * done["best_on_test"],
        cpu_minutes=done["cpu_seconds"] / 60,
        minutes=done["seconds"] / 60,
    )
    return named.join(done[list(ENVIRONMENT)])


def final_heading(epochs: "pd.Series[float]") -> str:
    """Return what stands above the mean and sd of runs' final epochs, of which each run has so many."""
    counts = " or ".join(str(count) for count in sorted({int(count) for count in epochs.dropna()}))
    return f"Final {counts} epochs, mean {PLUS_MINUS} sd (%)" if counts else f"Final epochs, mean {PLUS_MINUS} sd (%)"


def render_runs(runs: pd.DataFrame, *, planned: int, stale: Collection[str] = ()) -> str:
    """Return the lines of ``runs_table`` as a Markdown table, with the machines and the cost of all below.

    Cells that are ``stale`` have a dagger beside their trainer's fingerprint.
    """
    shown = pd.DataFrame(
        {
            "Row": runs["row"],
            "Seed": runs["seed"],
            "Last epoch (%)": runs["last"].map("{:.2f}".format),
            final_heading(runs["final_epochs"]): [*map(mean_and_sd, runs["final_mean"], runs["final_sd"])],
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
        named = ", ".join(f"{name} {value}" for name, value in zip(ENVIRONMENT, values, strict=True) if value)
        parts.append(f"{count} cells on: {named}.")
    return "\n\n".join(parts) + "\n"
