import re
from dataclasses import replace

import pandas as pd
import pytest

from harness.records import Plan, PlannedCell, write_json
from reports import FORMATS, ablation_table, render, runs_frame
from reports.render import caption

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


def test_markdown():
    text, table = write(PLAN, VALUES, "markdown").split("\n\n")
    assert text == CAPTION
    # tabulate saw the sign as one character, this file as two.
    assert re.sub(" +", " ", table).splitlines() == [
        "| Row | Accuracy (%) | Difference (points) | Runs |",
        "|:------|:--------------------|----------------------:|-------:|",
        "| full | **82.00 +- 2.83** | | 2/2 |",
        "| - bn | <u>73.00 +- 4.24</u> | -9.00 | 2/2 |",
        "| - adv | 82.00 | -2.00 | 1/2 |",
        "| - con | -- | -- | 0/2 |",
    ]


def test_latex():
    assert write(PLAN, VALUES, "latex") == "\n".join(
        [
            r"% Needs \usepackage{booktabs} in the preamble.",
            r"\begin{table}[t]",
            r"\centering",
            r"\caption{" + CAPTION.replace("%", r"\%").replace("+-", r"$\pm$") + "}",
            r"\label{tab:table3}",
            r"\begin{tabular}{llrr}",
            r"\toprule",
            r"Row & Accuracy (\%) & Difference (points) & Runs \\",
            r"\midrule",
            r"full & \textbf{82.00 $\pm$ 2.83} &  & 2/2 \\",
            r"- bn & \underline{73.00 $\pm$ 4.24} & $-9.00$ & 2/2 \\",
            r"- adv & 82.00 & $-2.00$ & 1/2 \\",
            r"- con & -- & -- & 0/2 \\",
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def test_csv():
    assert write(PLAN, VALUES, "csv") == (
        "row,accuracy,sd,difference,done,planned,stale,seed_0,seed_1\n"
        "full,82.000000,2.828427,0.000000,2,2,0,80.000000,84.000000\n"
        "- bn,73.000000,4.242641,-9.000000,2,2,0,70.000000,76.000000\n"
        "- adv,82.000000,,-2.000000,1,2,0,,82.000000\n"
        "- con,,,,0,2,0,,\n"
    )


def test_terminal_in_plain_characters():
    text = write(PLAN, VALUES, "terminal")
    assert "\x1b" not in text
    head, table = text.split("\n\n")
    plain = CAPTION.replace("best bold, second underlined", "best marked *, second marked _")
    assert head.replace("\n", " ") == plain
    assert max(map(len, head.splitlines())) <= 101
    title, _, *lines = table.splitlines()
    assert title == "Row     Accuracy (%)     Difference (points)   Runs"
    assert lines == [
        "full    82.00 +- 2.83 *                          2/2",
        "- bn    73.00 +- 4.24 _                 -9.00    2/2",
        "- adv   82.00                          -2.00    1/2",
        "- con   --                                --    0/2",
    ]
    assert text.endswith("0/2\n")


def test_terminal_in_color_has_the_marks_of_the_caption():
    text = write(PLAN, VALUES, "terminal", color=True)
    assert "\x1b[1m82.00 +- 2.83\x1b[0m" in text
    assert "\x1b[4m73.00 +- 4.24\x1b[0m" in text
    assert "best bold, second underlined" in text.replace("\n", " ")


def test_terminal_folds_long_names_and_takes_no_markup_from_them():
    name = "[bold]" + "x" * 120
    text = write(make_plan(["full", name]), [0.5, 0.5, 0.25, 0.25], "terminal")
    assert "[bold]x" in text
    assert text.count("x") - text.split("\n\n")[0].count("x") == 120
    assert "25.00 +- 0.00 _" in text
    assert "-25.00" in text


def marks(values, *, rows=("a", "b", "c", "d"), seeds=(0,)):
    """Return the rows that are bold, and those that are underlined."""
    lines = write(make_plan(rows, seeds=seeds), values, "latex").splitlines()
    return tuple([line[0] for line in lines if mark in line] for mark in (r"\textbf", r"\underline"))


def test_the_caption_says_that_a_teacher_was_imported():
    plan = replace(PLAN, context=CONTEXT | {"teacher_origin": "birds.pth"})
    text = caption(plan, make_frame(plan, VALUES), "last")
    assert "Models: teacher resnet20 (98.33%, imported from birds.pth), student resnet14." in text


@pytest.mark.parametrize(
    ("values", "best", "second"),
    [
        ([0.5, 0.7, 0.6, 0.1], ["b"], ["c"]),
        # 70.004 and 70.001 both read 70.00; the second is the next value that reads otherwise.
        ([0.70004, 0.70001, 0.6, 0.1], ["a", "b"], ["c"]),
        ([0.7, 0.6, 0.60002, 0.1], ["a"], ["b", "c"]),
        ([0.7, 0.7, 0.7, 0.7], ["a", "b", "c", "d"], []),
        # A row without its run is not ranked.
        ([None, 0.7, 0.6, 0.1], ["b"], ["c"]),
        ([None, None, 0.6, 0.1], ["c"], ["d"]),
        # One complete row is best of nothing.
        ([None, None, None, 0.1], [], []),
        ([None, None, None, None], [], []),
        # As text, "9.00" would be above "10.00".
        ([0.09, 0.10, 0.08, 0.01], ["b"], ["a"]),
    ],
)
def test_marks(values, best, second):
    assert marks(values) == (best, second)


def test_an_incomplete_row_is_not_marked_however_good():
    assert marks([0.9, None, 0.5, 0.5, 0.4, 0.4], rows=("a", "b", "c"), seeds=(0, 1)) == (["b"], ["c"])


def test_differences_are_signed_and_zero_has_no_minus():
    # b: +1.50; c: -0.001, which rounds to zero.
    text = write(make_plan(["a", "b", "c"], seeds=(0,)), [0.5, 0.515, 0.49999], "markdown")
    assert [line.split("|")[3].strip() for line in text.splitlines()[4:]] == ["", "+1.50", "+0.00"]


def test_markdown_keeps_zeros_and_escapes_names():
    text = write(make_plan(["a_b|*c*", "<b>"], seeds=(0,)), [0.7, 0.65], "markdown")
    assert r"| a\_b\|\*c\* | **70.00**" in text
    assert r"| \<b\>" in text
    assert "<u>65.00</u>" in text
    assert "from a\\_b\\|\\*c\\*, paired" in text


def test_latex_escapes_names_caption_and_label():
    plan = make_plan(["+ 50% a_b & c#d", r"{x} \y ~ ^ $ <", "[0] *"], seeds=(0,), grid="my grid_1%", dataset="cub_200")
    text = write(plan, [0.1, 0.2, 0.3], "latex")
    assert r"+ 50\% a\_b \& c\#d & 10.00 &  & 1/1 \\" in text
    assert r"\{x\} \textbackslash{}y \textasciitilde{} \textasciicircum{} \$ $<$ & \underline{20.00}" in text
    # A bracket or a star after `\\` would be read as its argument.
    assert "\n{[}0] {*} & " in text
    assert r"Data: cub\_200, 10 classes" in text
    assert r"Difference: from + 50\% a\_b \& c\#d, paired" in text
    assert r"\label{tab:my-grid_1-}" in text


def test_latex_is_balanced():
    plan = make_plan(["a{", "b}}", "$c", "d % e"], seeds=(0,))
    text = write(plan, [0.1, 0.2, 0.3, None], "latex")
    bare = re.sub(r"\\[{}$%&#_]", "", text.split("\n", 1)[1])
    depth = 0
    for character in bare:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    assert bare.count("$") % 2 == 0
    assert "%" not in bare
    # Four columns in the header and in each of the four rows.
    assert [line.count("&") for line in bare.splitlines() if line.endswith(r"\\")] == [3] * 5
    assert text.isascii()


def test_a_wide_latex_table_is_set_smaller_below_a_caption_of_the_usual_size():
    # Name, "Accuracy (%)", "Difference (points)", "Runs", and two characters between them: 41 besides the name.
    narrow, wide = (write(make_plan(["a" * count, "b"]), [0.5] * 4, "latex") for count in (34, 35))
    assert "\\footnotesize" not in narrow
    assert "\\label{tab:table3}\n\\footnotesize\n\\begin{tabular}" in wide


def test_csv_keeps_six_decimals_and_no_negative_zero():
    text = write(make_plan(["a", "b"], seeds=(0, 1)), [0.123456789, 0.2, 0.123456788, 0.2], "csv")
    _, a, b = text.splitlines()
    # (12.3456789 + 20) / 2 = 16.17283945; sd = 7.6543211 / sqrt(2) = 5.41242235.
    assert a == "a,16.172839,5.412422,0.000000,2,2,0,12.345679,20.000000"
    # b is 0.0000001 points below a on seed 0.
    assert b == "b,16.172839,5.412422,0.000000,2,2,0,12.345679,20.000000"


def test_csv_is_the_same_to_the_byte_for_equal_results(tmp_path):
    texts = []
    for name, seconds in (("one", 1.0), ("two", 2.5)):
        for i, cell in enumerate(PLAN.cells[:5]):
            result = {
                "last": (i + 1) / 7,
                "best_on_test": 0.9,
                "final_mean": 0.3,
                "seconds": seconds,
                "finished": seconds,
            }
            write_json(tmp_path / name / "cells" / cell.id.replace(" ", "") / "result.json", result)
        cells = tuple(replace(cell, id=cell.id.replace(" ", "")) for cell in PLAN.cells)
        plan = replace(PLAN, cells=cells, key=name, context=CONTEXT | {"teacher_hash": name})
        frame = runs_frame(tmp_path / name, plan)
        table = ablation_table(frame, plan=plan)
        texts.append(render(table, plan=plan, frame=frame, selection="last", format="csv").encode())
    assert texts[0] == texts[1]
    assert b"14.285714" in texts[0]  # 100 / 7


@pytest.mark.parametrize("format", [format for format in FORMATS if format != "excel"])
def test_every_planned_row_is_shown_when_nothing_has_run(format):
    text = write(PLAN, [None] * 8, format)
    assert all(row in text for row in PLAN.rows)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


@pytest.mark.parametrize("format", ["terminal", "markdown", "latex"])
def test_missing_runs_are_in_the_caption(format):
    assert "3 of 8 runs missing (3 failed)." in write(PLAN, VALUES, format).replace("\n", " ")
    assert "missing" not in write(PLAN, [0.5] * 8, format)


def test_caption_counts_todo_as_missing_but_not_as_failed():
    frame = make_frame(PLAN, VALUES)
    frame.loc[7, "status"] = "todo"
    assert caption(PLAN, frame, "last").endswith(". 3 of 8 runs missing (2 failed).")
    assert caption(PLAN, frame[:4], "last").endswith(". 4 of 8 runs missing (0 failed).")


def test_runs_that_diverged_are_named_in_the_caption_and_not_missing():
    frame = make_frame(PLAN, VALUES)
    line = frame.index[frame["status"] == "failed"][0]
    frame.loc[line, "status"] = "diverged"
    row, seed = frame.loc[line, ["row", "seed"]]
    told = f"1 of 8 runs diverged, so that they have no accuracy: {row}, seed {seed}."
    assert caption(PLAN, frame, "last").endswith(f". 2 of 8 runs missing (2 failed). {told}")


@pytest.mark.parametrize(
    ("format", "marked"), [("terminal", "- bn \u2020"), ("markdown", "- bn \u2020"), ("latex", r"- bn $^\dagger$ &")]
)
def test_rows_with_a_stale_run_have_a_dagger_that_the_caption_explains(format, marked):
    frame = make_frame(PLAN, VALUES)
    # One run of "- bn"; a run that failed has no result to be stale.
    stale = ["- bn/1", "- con/0"]
    table = ablation_table(frame, plan=PLAN)
    text = render(table, plan=PLAN, frame=frame, selection="last", format=format, stale=stale)
    dagger = r"$^\dagger$" if format == "latex" else "\u2020"
    assert marked in text
    assert text.count(dagger) == 2
    shown = " ".join(text.split())
    assert f"{dagger}: 1 of 5 runs stale, trained by code that has changed since." in shown
    assert dagger not in render(table, plan=PLAN, frame=frame, selection="last", format=format)


def test_csv_counts_stale_runs_by_row():
    frame = make_frame(PLAN, VALUES)
    table = ablation_table(frame, plan=PLAN)
    text = render(table, plan=PLAN, frame=frame, selection="last", format="csv", stale=["full/0", "full/1", "- bn/1"])
    assert [line.split(",")[6] for line in text.splitlines()] == ["stale", "2", "1", "0", "0"]


def test_caption_names_the_selection():
    frame = make_frame(PLAN, VALUES)
    assert "; accuracy after the last epoch." in caption(PLAN, frame, "last")
    assert "; mean accuracy over the final epochs of each run." in caption(PLAN, frame, "final_mean")
    assert "; best epoch on the test split (oracle)." in caption(PLAN, frame, "best_on_test")


def test_caption_of_one_seed_speaks_of_no_sd():
    plan = make_plan(["a", "b"], seeds=(3,))
    text = caption(plan, make_frame(plan, [0.5, 0.5]), "last")
    assert "Accuracy: seed 3 alone; accuracy after the last epoch." in text
    assert "sd" not in text


def test_caption_names_the_settings():
    plan = make_plan(["a", "b"], settings={"batch_size": 8, "student.lr": 0.1})
    assert " Settings: batch_size = 8, student.lr = 0.1. " in caption(plan, make_frame(plan, [0.5] * 4), "last")


def test_caption_leaves_out_what_the_plan_does_not_say():
    plan = replace(PLAN, context={})
    assert caption(plan, make_frame(plan, VALUES), "last").startswith("Losses. Accuracy: mean")
    plan = replace(PLAN, context={"teacher": "resnet20", "epochs": 3})
    assert caption(plan, make_frame(plan, VALUES), "last").startswith(
        "Losses. Models: teacher resnet20. Training: 3 epochs. Accuracy:"
    )


def test_unknown_format_lists_what_exists():
    with pytest.raises(
        ValueError, match=r"one of \['terminal', 'markdown', 'latex', 'html', 'csv', 'excel'\], but it is 'pdf'"
    ):
        write(PLAN, VALUES, "pdf")


def test_a_table_under_another_selection_is_refused():
    frame = make_frame(PLAN, VALUES).assign(best_on_test=0.99)
    table = ablation_table(frame, plan=PLAN, selection="best_on_test")
    with pytest.raises(ValueError, match=r"selection \('last'\), but its numbers differ"):
        render(table, plan=PLAN, frame=frame, selection="last", format="latex")
