"""Tables of runs that never ran, as text: plans, frames, and what is written of them."""

import pandas as pd

from harness.records import Plan, PlannedCell
from reports import ablation_table, render

CONTEXT = {
    "dataset": "digits",
    "classes": 10,
    "image_size": 16,
    "teacher": "resnet20",
    "teacher_accuracy": 0.98333,
    "teacher_hash": "abc",
    "student": "resnet14",
    "budget": "demo",
    "epochs": 3,
    "settings": {},
}


def make_plan(rows, *, seeds=(0, 1), grid="table3", **context):
    cells = tuple(PlannedCell(f"{row}/{seed}", row, seed) for row in rows for seed in seeds)
    return Plan("k", grid, "Losses", tuple(rows), rows[0], tuple(seeds), cells, CONTEXT | context)


def make_frame(plan, values):
    """Return the frame of ``values``: fractions in the order of the plan's cells, None if failed."""
    return pd.DataFrame(
        {
            "row": cell.row,
            "seed": cell.seed,
            "cell": cell.id,
            "status": "failed" if value is None else "done",
            "last": float("nan") if value is None else value,
        }
        for cell, value in zip(plan.cells, values, strict=True)
    )


def write(plan, values, format, **options):
    """Return the table of ``values`` as text, with the plus-minus sign in ASCII."""
    frame = make_frame(plan, values)
    table = ablation_table(frame, plan=plan)
    text = render(table, plan=plan, frame=frame, selection="last", format=format, **options)
    return text if isinstance(text, bytes) else text.replace("\u00b1", "+-")


PLAN = make_plan(["full", "- bn", "- adv", "- con"])
VALUES = [0.80, 0.84, 0.70, 0.76, None, 0.82, None, None]
"""Five of eight; full: 82, sd sqrt(8) = 2.83; - bn: 73, sd sqrt(18) = 4.24, difference -9; - adv: 82, difference -2."""

CAPTION = (
    "Losses. Data: digits, 10 classes, 16 x 16 pixels. Models: teacher resnet20 (98.33%), student resnet14. Training: "
    "budget demo, 3 epochs. Accuracy: mean +- sd (n - 1) over seeds 0, 1; accuracy after the last epoch. Difference: "
    "from full, paired by seed. Among complete rows, best bold, second underlined. 3 of 8 runs missing (3 failed)."
)
