"""What reports do with runs that are missing, doubled, without a metric, without a number, or alone."""

from dataclasses import replace

import pandas as pd
import pytest

from frames import frame_of
from harness.records import Plan, PlannedCell, write_json
from reports import COLUMNS, FORMATS, ReportError, ablation_sheet, comparison, in_words, page, runs_frame, write
from reports.figures import row_plot
from reports.sources import StoreSource

ROWS = ("a", "<script>alert('&')</script>", "\\input{x} $y$ 100% _")


def make_plan(seeds=(0, 1)):
    cells = tuple(PlannedCell(f"{i}{seed}", row, seed) for i, row in enumerate(ROWS) for seed in seeds)
    return Plan("k", "g", "T", ROWS, "a", tuple(seeds), cells, {})


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
@pytest.mark.parametrize("value", [None, float("nan")])
@pytest.mark.parametrize("format", FORMATS)
def test_rows_without_a_number_are_shown_in_every_format(seeds, value, format):
    plan = make_plan(seeds)
    frame = frame_of(plan, [50.0] * len(seeds) + [value] * 2 * len(seeds))
    sheet = ablation_sheet(frame, plan=plan, columns=tuple(COLUMNS))
    assert len(sheet.lines) == 3
    assert write(sheet, format)
    assert sheet.lines[1][1].text == "--"
    assert all("no seed" in sentence for sentence in in_words(frame, plan=plan))
    assert len(row_plot(frame, plan=plan).axes) == 1


def test_one_seed_has_no_spread_and_no_stars():
    plan = make_plan((3,))
    line = comparison(frame_of(plan, [50, 60, 40]), plan=plan).loc[ROWS[1]]
    assert line["verdict"] == "n = 1 too small to test: p cannot be below 1 among 2 rows"
    assert pd.isna(line["difference_low"])
    assert pd.isna(line["detectable"])
    assert pd.isna(line["seeds_needed"])


def test_a_metric_that_some_runs_lack_is_missing_there(tmp_path):
    plan = make_plan()
    write_json(tmp_path / "cells" / "00" / "result.json", {"last": 0.5, "best_on_test": 0.6})
    write_json(tmp_path / "cells" / "01" / "result.json", {"last": 0.5})
    frame = runs_frame(tmp_path, plan)
    sheet = ablation_sheet(frame, plan=plan, selection="best_on_test")
    assert (sheet.lines[0][1].text, sheet.lines[0][3].text) == ("60.00", "1/2")
    assert "4 of 6 runs missing (0 failed). 1 of 2 finished runs have not recorded this accuracy." in sheet.caption
    assert frame["validation_last"].isna().all()


def test_a_run_that_is_there_twice_is_refused():
    plan = make_plan()
    frame = frame_of(plan, [1, 2, 3, 4, 5, 6])
    with pytest.raises(ReportError, match="a duplicate of 'a' with seed 0 in 'g'"):
        ablation_sheet(pd.concat([frame, frame[:1]], ignore_index=True), plan=plan)


def test_names_do_not_become_markup(tmp_path):
    text = page(StoreSource(tmp_path), replace(make_plan(), title="<script>x</script>"))
    assert "<script>alert" not in text
    assert "<script>x" not in text
    assert text.count("<script>") == 1
    latex = write(ablation_sheet(frame_of(make_plan(), [1, 2, 3, 4, 5, 6]), plan=make_plan()), "latex")
    assert "\\input" not in latex
