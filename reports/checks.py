"""What the runs of one column must share. A table that would mix them is refused, with what differs."""

from collections.abc import Collection

import pandas as pd

from harness.records import Plan
from reports.errors import ReportError
from reports.frame import SETTING

SHARED = ("teacher_hash", "test_fingerprint", "numerics")
SHARED_SETTINGS = (f"{SETTING}data.", f"{SETTING}teacher.")
LENGTH = f"{SETTING}schedule.epochs"


def check_columns(frame: pd.DataFrame, *, plan: Plan, stale: Collection[str] = ()) -> None:
    """Raise ReportError unless the finished runs can stand in one column.

    All of them must share teacher, test images, ``NUMERICS``, the settings of data and teacher, and the number of
    epochs, unless the plan says that it differs by row; the seeds of a row, its whole configuration and the code that
    trained them. Runs of other code that are among the ``stale`` cells are marked instead; a plan whose stale cells
    are kept on purpose allows them.
    """
    if plan.context.get("columns"):
        raise ReportError(
            f"A table of one column must be of rows that share images and teacher, but {plan.grid!r} has "
            f"{len(plan.context['columns'])} of them. Give its `plan_columns` one by one, or all to `columns_sheet`."
        )
    done = frame[frame["status"] == "done"]
    shared = [str(name) for name in done if name in SHARED or str(name).startswith(SHARED_SETTINGS)]
    if plan.context.get("epochs") != "by row" and LENGTH in done:
        shared.append(LENGTH)
    _refuse(done, shared, f"The runs of {plan.grid!r}", "Plan and run the grid anew, or report the plans one by one.")
    own = [str(name) for name in done if str(name).startswith(SETTING) and name != f"{SETTING}seed"]
    _refuse_by_row(done, own, "Plan and run the grid anew.")
    if plan.context.get("stale") != "keep" and "trainer" in done:
        way_out = "`dfkd ablate ... --stale rerun` trains stale runs again, `--stale keep` takes all as they are."
        _refuse_by_row(done[~done["cell"].isin(list(stale))], ["trainer"], way_out)


def _refuse_by_row(runs: pd.DataFrame, names: Collection[str], way_out: str) -> None:
    """Raise ReportError if a column of ``names`` has two values within a row."""
    for name in names:
        if runs[name].nunique(dropna=False) > 1:  # most are the same everywhere, which is quickly seen
            counts = runs.groupby("row", sort=False)[name].nunique(dropna=False)
            for row in counts.index[counts > 1]:
                _refuse(runs[runs["row"] == row], [name], f"The runs of the row {row!r}", way_out)


def _refuse(runs: pd.DataFrame, names: Collection[str], whose: str, way_out: str) -> None:
    """Raise ReportError if a column of ``names`` has two values among ``runs``, with which and of which cells."""
    for name in names:
        if runs[name].nunique(dropna=False) < 2:
            continue
        values = runs.drop_duplicates("cell").groupby(name, dropna=False, sort=False)["cell"].agg(list)
        if len(values) > 1:
            listed = "; ".join(f"{value} in {', '.join(cells[:3])}" for value, cells in list(values.items())[:3])
            key = str(name).removeprefix(SETTING)
            raise ReportError(f"{whose} must share `{key}` to stand in one column, but it is {listed}. {way_out}")
