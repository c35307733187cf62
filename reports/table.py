"""The ablation table: numbers only, unrounded."""

import pandas as pd

from harness.records import Plan
from reports.errors import ReportError
from reports.frame import SETTING

SELECTIONS: dict[str, str] = {
    "last": "accuracy after the last epoch",
    "final_mean": "mean accuracy over the final epochs of each run",
    "best_on_test": "best epoch on the test split (oracle)",
}
"""Which of a run's accuracies a table shows: the frame's column, and the words for it in a caption."""

REAL_METHODS = ("scratch", "real_kd")
"""Values of ``config.method`` with which a student sees real images; its accuracy is an upper bound, not a rival."""


def real_rows(frame: pd.DataFrame) -> set[str]:
    """Return the rows whose runs learn from real images, where there are others beside them; none of those alone."""
    if f"{SETTING}method" not in frame:
        return set()
    real = frame[f"{SETTING}method"].isin(REAL_METHODS)
    rows = set(frame.loc[real, "row"])
    return rows if rows != set(frame.loc[frame[f"{SETTING}method"].notna(), "row"]) else set()


def ranked_accuracy(table: pd.DataFrame, frame: pd.DataFrame) -> dict[str, float]:
    """Return the accuracy of each row of ``ablation_table`` that is ranked, NaN of the others.

    Ranked are rows whose planned runs are all done, without the ``real_rows``.
    """
    done = table["done"].str.split("/", expand=True)
    ranked = (done[0] == done[1]) & ~table.index.isin(list(real_rows(frame)))
    return {str(row): float(value) for row, value in table["accuracy"].where(ranked).items()}


def ranked_words(frame: pd.DataFrame) -> str:
    """Return what the rows are called among which there is a best one."""
    return "complete data-free rows" if real_rows(frame) else "complete rows"


def accuracy_by_seed(frame: pd.DataFrame, *, plan: Plan, selection: str) -> pd.DataFrame:
    """Return the selected accuracies in percent: a line per planned seed, a column per planned row, NaN unless done.

    Raises:
        ReportError: a run that the plan does not have, or a row with the same seed twice.
        ValueError: an unknown selection.
    """
    if selection not in SELECTIONS:
        raise ValueError(f"The selection must be one of {list(SELECTIONS)}, but it is {selection!r}.")
    strangers = set(zip(frame["row"], frame["seed"], strict=True)) - {(cell.row, cell.seed) for cell in plan.cells}
    if strangers:
        raise ReportError(
            f"The frame must hold runs of the plan {plan.grid!r} alone, but it also holds (row, seed) in "
            f"{sorted(strangers)}. Build it with runs_frame from the same plan."
        )
    twice = frame[frame.duplicated(["row", "seed"])]
    if len(twice):
        row, seed = twice.iloc[0][["row", "seed"]]
        raise ReportError(
            f"A row must have one run a seed, but there is a duplicate of {row!r} with seed {seed} in {plan.grid!r}. "
            "An average of both would hide it: leave one out."
        )
    percent = 100 * frame[selection].where(frame["status"] == "done")
    wide = frame.assign(percent=percent).pivot(index="seed", columns="row", values="percent")
    return wide.reindex(index=list(plan.seeds), columns=list(plan.rows))


def ablation_table(frame: pd.DataFrame, *, plan: Plan, selection: str = "last") -> pd.DataFrame:
    """Return one line per planned row, in the plan's order, from the lines of ``runs_frame``.

    Columns: ``accuracy``, the mean over the seeds that are done, in percent; ``sd`` over the same seeds, with n - 1
    below, in percentage points; ``difference``, the mean over seeds of the row minus ``plan.reference`` with the same
    seed, over the seeds where both are done, in percentage points; ``done``, as "done/planned". What cannot be
    computed is NaN.

    Raises:
        ReportError: a run that the plan does not have, or a row with the same seed twice.
        ValueError: an unknown selection.
    """
    accuracy = accuracy_by_seed(frame, plan=plan, selection=selection)
    return pd.DataFrame(
        {
            "accuracy": accuracy.mean(),
            "sd": accuracy.std(ddof=1),
            "difference": accuracy.sub(accuracy[plan.reference], axis="index").mean(),
            "done": accuracy.count().astype(str) + f"/{len(plan.seeds)}",
        }
    ).rename_axis("row")
