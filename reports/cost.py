"""What a row's runs cost to train, and its student to use."""

from collections.abc import Mapping

import pandas as pd

from harness.records import Plan

Networks = Mapping[str, tuple[float, float]]
"""Parameters and multiply-accumulates for one image, by the name of a student's architecture."""
HOUR = 3600.0


def cost_table(frame: pd.DataFrame, *, plan: Plan, networks: Networks) -> pd.DataFrame:
    """Return one line per planned row: ``hours``, the mean over its finished runs, ``parameters`` in millions and
    ``flops`` in thousand millions of multiply-accumulates; NaN where it is not known.

    Hours are GPU hours where every run had a GPU, else CPU hours, of all threads; ``attrs["unit"]`` says which.
    """
    done = frame[frame["status"] == "done"]
    devices = done.get("device", pd.Series(dtype=str))
    on_gpu = len(done) > 0 and not devices.isin(["cpu", ""]).any()
    seconds = done.get("seconds" if on_gpu else "cpu_seconds", pd.Series(float("nan"), index=done.index))
    hours = (seconds.groupby(done["row"]).mean() / HOUR).reindex(list(plan.rows))
    students = _students(frame, plan)
    unknown = (float("nan"), float("nan"))
    found = [networks.get(students.get(row, ""), unknown) for row in plan.rows]
    table = pd.DataFrame(
        {
            "hours": hours,
            "parameters": [parameters / 1e6 for parameters, _ in found],
            "flops": [flops / 1e9 for _, flops in found],
        },
        index=pd.Index(plan.rows, name="row"),
    )
    table.attrs["unit"] = "GPU" if on_gpu else "CPU"
    return table


def _students(frame: pd.DataFrame, plan: Plan) -> dict[str, str]:
    """Return the student's architecture of each row of which it is known."""
    shared = plan.context.get("student")
    if shared and shared != "by row":
        return dict.fromkeys(plan.rows, str(shared))
    if "config.student.architecture" not in frame:
        return {}
    known = frame.dropna(subset="config.student.architecture")
    return dict(zip(known["row"], known["config.student.architecture"], strict=True))
