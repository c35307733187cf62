"""Frames of runs that never ran."""

import pandas as pd


def frame_of(plan, values):
    """Return the frame of ``values``: percent in the order of the plan's cells, None where a run is not done."""
    lines = []
    for cell, value in zip(plan.cells, values, strict=True):
        line = {"row": cell.row, "seed": cell.seed, "cell": cell.id, "status": "todo" if value is None else "done"}
        lines.append(line | {"last": float("nan") if value is None else value / 100})
    return pd.DataFrame(lines)
