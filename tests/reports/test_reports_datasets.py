"""A grid over several data sets, and one crossed, in the paper's layouts."""

import numpy as np
import pandas as pd
import pytest

from harness.records import Plan, PlannedCell
from reports import ReportError, published, write
from reports.datasets import Part, crossed_sheet, paper_sheet


def part(values, *, dataset="Digits", grid="table3", seeds=(0, 1), key="k", **context):
    """Return a plan on a data set with its runs: ``values`` gives each row's accuracies in percent."""
    cells = tuple(PlannedCell(f"{dataset}/{row}/{seed}", row, seed) for row in values for seed in seeds)
    about = {"dataset": dataset, "student": "resnet18", "teacher_accuracy": 0.9} | context
    plan = Plan(key, grid, "T", tuple(values), next(iter(values)), tuple(seeds), cells, about)
    lines = []
    for cell in cells:
        value = values[cell.row][seeds.index(cell.seed)]
        about = {"row": cell.row, "seed": cell.seed, "cell": cell.id, "status": "todo" if value is None else "done"}
        lines.append(about | {"last": np.nan if value is None else value / 100})
    return Part(plan, pd.DataFrame(lines))


def texts(sheet):
    return {line[0].text: [f"{entry.mark} {entry.text}".strip() for entry in line[1:]] for line in sheet.lines}


def test_data_sets_are_columns_with_marks_of_their_own():
    digits = part({"Baseline": [10, 12], "+ SFCL": [20, 22], "+ MHAD": [30, None]})
    birds = part({"Baseline": [50, 50], "+ SFCL": [40, 44]}, dataset="CUB200", classes=20, image_size=64)
    sheet = paper_sheet([digits, birds])
    heads = [column.name for column in sheet.columns]
    assert heads == ["Row", "Digits", "CUB200 (20 classes, 64 px)", "Interquartile mean, 95 % interval"]
    shown = texts(sheet)
    assert shown["Baseline"][:2] == ["second 11.00 \u00b1 1.41", "best 50.00 \u00b1 0.00"]
    assert shown["+ SFCL"][:2] == ["best 21.00 \u00b1 1.41", "second 42.00 \u00b1 2.83"]
    assert shown["+ MHAD"] == ["30.00 (1/2)", "--", "--"]
    # Of 10, 12, 50, 50 one is cut from each end: 31. Drawn within Digits 10 to 12, within CUB200 always 50.
    assert shown["Baseline"][2] == "31.00 (30.00 to 31.00)"


def test_table5_has_the_papers_mean_over_data_sets():
    one, other = ({"R = 1": [a, a], "R = 3": [b, None]} for a, b in ((10, 1), (30, 2)))
    sheet = paper_sheet([part(one, grid="table5"), part(other, grid="table5", dataset="Pets")])
    assert sheet.columns[-1].name == "Mean"
    assert texts(sheet)["R = 1"][-1] == "20.00"


def test_table1_has_the_teacher_and_real_images_on_top_and_the_papers_figures_beside():
    rows = {"DFKD-FGVC": [50, 52], "Real images, labels": [60, 62], "ZSKD": [20, 20], "ZSKT": [10, 10]}
    birds = part(rows, dataset="CUB200", grid="table1")
    sheet = paper_sheet([birds], published=published("table1"))
    names = [line[0].text for line in sheet.lines]
    assert names == ["Teacher, real images", "Real images, labels", "DFKD-FGVC", "ZSKD", "ZSKT"]
    assert sheet.rules == (2,)  # below the real images
    assert texts(sheet)["Teacher, real images"] == ["90.00", "76.87"]
    assert texts(sheet)["ZSKD"][-1] == "30.53"
    assert sheet.numbers.loc["DFKD-FGVC", "paper_CUB200"] == 56.93
    assert any("the data-free student stays below the one with real images: holds" in note for note in sheet.notes)
    # Of the six pairs ZSKD and ZSKT alone stand the other way: 20 and 10 here, 30.53 and 31.88 in the paper.
    assert any("CUB200: 5 of 6 pairs of rows" in note for note in sheet.notes)
    latex = write(sheet, "latex")
    assert latex.count("\\midrule") == 2
    assert write(sheet, "terminal").count("CUB200") >= 3


def test_students_and_methods_are_crossed_as_in_table2():
    rows = {"WRN40-2, labels": [60, 62], "WRN40-2, DFKD-FGVC": [50, 50], "VGG, DFKD-FGVC": [40, None]}
    sheet = crossed_sheet(part(rows, grid="table2"))
    assert [column.name for column in sheet.columns] == ["Student", "labels", "DFKD-FGVC"]
    assert texts(sheet) == {
        "WRN40-2": ["best 61.00 \u00b1 1.41", "second 50.00 \u00b1 0.00"],
        "VGG": ["--", "40.00 (1/2)"],
    }
    assert sheet.numbers.loc["WRN40-2", "labels"] == pytest.approx(61)
    with pytest.raises(ReportError, match="'table3' has 'Baseline'"):
        crossed_sheet(part({"Baseline": [1, 2]}))


def test_columns_that_cannot_stand_together_are_refused():
    one = part({"Baseline": [1, 2]})
    with pytest.raises(ReportError, match="Digits has several: k, other"):
        paper_sheet([one, part({"Baseline": [1, 2]}, key="other")])
    with pytest.raises(ReportError, match="one grid, but the plans are of: table3, table4"):
        paper_sheet([one, part({"Baseline": [1, 2]}, grid="table4", dataset="Pets")])


def test_a_data_set_where_nothing_ran_is_a_column_all_the_same():
    sheet = paper_sheet([part({"Baseline": [None, None]}), part({"Baseline": [1, 2]}, dataset="Pets")])
    assert texts(sheet)["Baseline"] == ["-- (0/2)", "1.50 \u00b1 0.71", "--"]
