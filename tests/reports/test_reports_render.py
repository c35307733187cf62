"""A table in each format: what is written, rounded and escaped."""

import re
from dataclasses import replace

import pytest

from harness.records import write_json
from rendered import CAPTION, CONTEXT, PLAN, VALUES, make_frame, make_plan, write
from reports import FORMATS, ablation_table, render, runs_frame


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


def test_markdown_keeps_zeros_and_escapes_names():
    text = write(make_plan(["a_b|*c*", "<b>"], seeds=(0,)), [0.7, 0.65], "markdown")
    assert r"| a\_b\|\*c\* | **70.00**" in text
    assert r"| \<b\>" in text
    assert "<u>65.00</u>" in text
    assert "from a\\_b\\|\\*c\\*, paired" in text


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
