"""What a table can hold besides the means: intervals, tests, costs, the paper's figures; and what it refuses."""

import io
import re
from dataclasses import replace

import pandas as pd
import pytest

from harness.records import Plan, PlannedCell
from reports import COLUMNS, ReportError, ablation_sheet, comparison, in_words, published, write
from reports.formats import html_table
from reports.sheet import Column, Entry, Sheet

NAN = float("nan")
CONTEXT = {"dataset": "CUB200", "student": "resnet18", "epochs": 2}


def make_plan(rows, seeds=(0, 1, 2), grid="table3", reference=None, **context):
    cells = tuple(PlannedCell(f"{row}/{seed}", row, seed) for row in rows for seed in seeds)
    return Plan("k", grid, "T", tuple(rows), reference or rows[0], tuple(seeds), cells, CONTEXT | context)


def make_frame(plan, values, **columns):
    """Return the frame of ``values``: percent by row and seed, None if not done."""
    lines = []
    for cell in plan.cells:
        value = values[cell.row][plan.seeds.index(cell.seed)]
        line = {"row": cell.row, "seed": cell.seed, "cell": cell.id, "status": "todo" if value is None else "done"}
        line |= {"last": NAN if value is None else value / 100, "trainer": "code", "device": "cpu"}
        lines.append(line | {"cpu_seconds": 3600.0 if cell.row == plan.rows[0] else 7200.0, "seconds": 1.0})
    return pd.DataFrame(lines).assign(**columns)


PLAN = make_plan(["Baseline", "+ SFCL", "+ MHAD", "+ MHAD + SFCL"])
VALUES = {
    "Baseline": [10, 12, 11],
    "+ SFCL": [13, 12, 14],
    "+ MHAD": [30, 32, 31],
    "+ MHAD + SFCL": [33, None, 30],
}


def test_comparison_by_hand():
    table = comparison(make_frame(PLAN, VALUES), plan=PLAN)
    sfcl, both = table.loc["+ SFCL"], table.loc["+ MHAD + SFCL"]
    # Differences 3, 0, 3: mean 2. Of eight patterns of signs four sum to 6 or -6, since flipping the 0 changes nothing.
    assert (sfcl["difference"], sfcl["p"], sfcl["pairs"]) == pytest.approx((2.0, 0.5, 3))
    # + MHAD: 20, 20, 20: p 2/8; both: 23, 19 on two seeds: p 2/4. Holm over three: 0.25 x 3, then 0.5 x 2.
    assert table["p_holm"].tolist()[1:] == pytest.approx([1.0, 0.75, 1.0])
    assert both["verdict"] == "n = 2 too small to test: p cannot be below 1 among 3 rows"
    assert table.loc["Baseline", "verdict"] == ""
    assert (table.loc["+ MHAD", "difference_low"], table.loc["+ MHAD", "difference_high"]) == pytest.approx(
        (20.0, 20.0)
    )


def test_words_instead_of_stars_until_there_are_seeds_enough():
    seeds = tuple(range(8))
    plan = make_plan(["a", "b", "c"], seeds)
    values = {"a": [10] * 8, "b": [12, 13, 12, 14, 12, 13, 12, 14], "c": [9, 11] * 4}
    table = comparison(make_frame(plan, values), plan=plan)
    # 2 / 2^8 = 0.0078, times 2 rows.
    assert table.loc["b", "verdict"] == "higher (p = 0.0156)"
    assert table.loc["c", "verdict"] == "no difference shown (p = 1)"
    said = in_words(make_frame(plan, values), plan=plan)
    assert said[0].startswith("b: +2.75 points from a over 8 seeds (95 % interval +2.25 to +3.")
    assert "they are enough for the difference seen" in said[0]
    assert "more than a thousand would be needed" in said[1]


def test_words_about_one_seed_and_none():
    plan = make_plan(["a", "b", "c"], (0, 1))
    said = in_words(make_frame(plan, {"a": [1, None], "b": [2, 3], "c": [None, 3]}), plan=plan)
    assert said == [
        "b: +1.00 points from a on one seed, which has no spread and proves nothing.",
        "c: no seed that a has done too.",
    ]


def test_all_columns_and_the_direction_of_marks():
    networks = {"resnet18": (11.2e6, 1.82e9)}
    sheet = ablation_sheet(make_frame(PLAN, VALUES), plan=PLAN, columns=tuple(COLUMNS), networks=networks)
    text = write(sheet, "markdown")
    (line,) = [line for line in text.splitlines() if line.startswith("| + MHAD  ")]
    entries = [part.strip() for part in line.strip("|").split("|")]
    assert entries[0:2] == ["+ MHAD", "**31.00 \u00b1 1.00**"]
    assert entries[-3:] == ["<u>2.00</u>", "11.20", "1.82"]  # slower is second; equal costs have no mark
    assert "Hours: CPU hours of training" in text
    numbers = pd.read_csv(io.StringIO(write(sheet, "csv")), index_col="row")
    assert numbers.loc["+ MHAD", ["accuracy", "p", "hours", "flops", "seed_2"]].tolist() == [
        31.0,
        0.25,
        2.0,
        1.82,
        31.0,
    ]


def test_costs_below_a_tenth_have_three_digits_and_are_ranked_by_them():
    frame = make_frame(PLAN, VALUES).assign(cpu_seconds=[seconds for s in (211, 220, 324, 7200) for seconds in [s] * 3])
    sheet = ablation_sheet(frame, plan=PLAN, columns=("hours",))
    # 211 s are 0.05861 hours, 220 s 0.06111, 324 s 0.09.
    assert [(line[1].text, line[1].mark) for line in sheet.lines] == [
        ("0.0586", "best"), ("0.0611", "second"), ("0.09", ""), ("2.00", ""),
    ]  # fmt: skip


def test_how_many_more_seeds_a_row_needs():
    plan = make_plan(["a", "b", "c", "d", "e"])
    values = {"a": [10, 10, 10], "b": [20, 21, 22], "c": [10, 11, 12], "d": [11, 9, 10], "e": [12, None, None]}
    sheet = ablation_sheet(make_frame(plan, values), plan=plan, columns=("more_seeds", "test"))
    entries = [line[1] for line in sheet.lines]
    # Four rows are tested: 4 x 2 / 2^n is below 0.05 from n = 8 on, which is enough for 11 points with an sd of 1: 5
    # more. One point with an sd of 1 takes 10 pairs by the t-test: statsmodels' TTestPower gives 9.94. No difference
    # takes more than there is, and one seed tells nothing.
    assert [entry.text for entry in entries] == ["", "5", "7", "> 1000", "--"]
    assert "More seeds: what a difference like the one seen takes" in sheet.caption
    # A page sorts the test by its p, whatever its words begin with: 4 x 0.25; of a single seed and no difference 1.
    assert [line[2].sorts_by for line in sheet.lines] == [None, 1.0, 1.0, 1.0, 1.0]
    numbers = pd.read_csv(io.StringIO(write(sheet, "csv")), index_col="row")
    assert numbers.loc["b", ["pairs", "seeds_needed"]].tolist() == [3, 8]
    assert list(numbers).count("pairs") == 1


def test_gpu_hours_where_every_run_had_one():
    frame = make_frame(PLAN, VALUES, device="NVIDIA X", seconds=1800.0)
    sheet = ablation_sheet(frame, plan=PLAN, columns=("accuracy", "hours"))
    assert "GPU hours" in sheet.caption
    assert [line[2].text for line in sheet.lines] == ["0.50"] * 4


def test_a_terminal_table_that_is_wider_than_a_terminal_loses_no_column():
    long = "a row with a name of many words"
    plan = replace(PLAN, rows=(*PLAN.rows[:-1], long), reference=PLAN.rows[0])
    plan = replace(plan, cells=tuple(replace(c, row=long) if c.row == PLAN.rows[-1] else c for c in PLAN.cells))
    frame = make_frame(plan, {**VALUES, long: VALUES[PLAN.rows[-1]]})
    columns = ("accuracy", "interval", "difference", "difference_interval", "test", "runs", "hours")
    sheet = ablation_sheet(frame, plan=plan, columns=columns)
    head, _, *lines = write(sheet, "terminal").partition("\nRow ")[2].splitlines()
    assert len(head) > 120
    assert all(column.name in head for column in sheet.columns[1:])
    shown = "\n".join(lines)
    assert all(entry.text in shown for line in sheet.lines for entry in line[1:])
    assert all(word in shown for word in long.split())


def test_the_papers_figures_stand_beside_ours():
    theirs = published("table3")
    text = write(ablation_sheet(make_frame(PLAN, VALUES), plan=PLAN, published=theirs), "markdown")
    assert "Paper: CUB200 (%)" in text
    assert "Aircraft" not in text  # the same data set alone
    assert "54.26" in text
    assert "single runs at 224 px" in text
    assert "CUB200: 6 of 6 pairs of rows" in text
    other = replace(PLAN, context=CONTEXT | {"dataset": "Digits"})
    text = write(ablation_sheet(make_frame(other, VALUES), plan=other, published=theirs), "markdown")
    assert " 63.37 " in text  # a data set that the paper has not: all of its own
    assert "67.13" in text


def test_which_of_the_papers_claims_hold():
    theirs = published("table3")
    ours = pd.Series({"Baseline": 10.0, "+ SFCL": 30.0, "+ MHAD": 20.0, "+ MHAD + SFCL": 40.0})
    order, claims = theirs.agreement(ours, ["CUB200"])
    # Of six pairs, SFCL and MHAD alone stand the other way.
    assert order == "Means in the paper's order: CUB200: 5 of 6 pairs of rows."
    assert claims.endswith("does not hold (+ SFCL is not below + MHAD).")
    assert "open (+ MHAD + SFCL not run)" in theirs.agreement(ours[:3])[-1]
    theirs = published("table4")
    ours = pd.Series({"lambda = 0": 20.0, "lambda = 1e-2": 30.0, "lambda = 5e-2": 40.0, "lambda = 7e-2": 10.0})
    assert "lambda = 0 is the worst: open (lambda = 9e-2 not run)" in theirs.agreement(ours)[-1]
    ours["lambda = 9e-2"] = 5.0
    broken = ", ".join(f"lambda = 0 is not below lambda = {each}" for each in ("7e-2", "9e-2"))
    assert f"lambda = 0 is the worst: does not hold ({broken})" in theirs.agreement(ours)[-1]
    with pytest.raises(ReportError, match="none for 'mine': it has table1, table2"):
        published("mine")


@pytest.mark.parametrize("grid", ["table1", "table2", "table3", "table4", "table5"])
def test_the_papers_rows_are_rows_of_the_grids(grid):
    from harness.plan import expand
    from search_spaces import load_grid

    theirs = published(grid)
    request = expand(load_grid(grid), dataset="digits", budget=None, seeds=(0,), settings={})
    assert set(theirs.rows) <= set(request.rows)
    # None of ours is left out of the agreement but the upper bounds that the paper does not print.
    assert all("real images" in name.lower() for name in set(request.rows) - set(theirs.rows))
    # Each claim is true of what the paper prints, on every data set.
    for dataset in theirs.datasets:
        printed = pd.Series({row: theirs.figure(row, dataset) for row in theirs.rows})
        claims = theirs.agreement(printed, [dataset])[-1]
        assert claims.count(": holds") == len(theirs.claims), claims
    assert all(len(figures) == len(theirs.datasets) for figures in theirs.rows.values())


@pytest.mark.parametrize("name", ["teacher_hash", "test_fingerprint", "numerics", "config.schedule.epochs"])
def test_rows_that_do_not_share_what_they_must_are_refused(name):
    frame = make_frame(PLAN, VALUES, **{name: "one"})
    ablation_sheet(frame, plan=PLAN)
    frame.loc[frame["cell"] == "+ MHAD/1", name] = "two"
    with pytest.raises(ReportError, match=f"`{name.removeprefix('config.')}`.* one in .*; two in "):
        ablation_sheet(frame, plan=PLAN)


def test_epochs_may_differ_by_row_where_the_grid_says_so_but_not_within_one():
    frame = make_frame(PLAN, VALUES, **{"config.schedule.epochs": 2})
    frame.loc[frame["row"] == "+ MHAD", "config.schedule.epochs"] = 4
    plan = replace(PLAN, context=CONTEXT | {"epochs": "by row"})
    ablation_sheet(frame, plan=plan)
    frame.loc[frame["cell"] == "+ MHAD/1", "config.schedule.epochs"] = 2
    with pytest.raises(ReportError, match=r"row '\+ MHAD' must share `schedule.epochs`"):
        ablation_sheet(frame, plan=plan)


def test_code_that_differs_within_a_row_is_refused_unless_it_is_marked_or_kept():
    frame = make_frame(PLAN, VALUES)
    frame.loc[frame["row"] == "+ SFCL", "trainer"] = "other terms"  # another row uses other code
    ablation_sheet(frame, plan=PLAN)
    frame.loc[frame["cell"] == "+ SFCL/1", "trainer"] = "older"
    with pytest.raises(ReportError, match=r"`trainer`.*older in .*--stale rerun"):
        ablation_sheet(frame, plan=PLAN)
    assert "\u2020" in write(ablation_sheet(frame, plan=PLAN, stale=["+ SFCL/1"]), "markdown")
    ablation_sheet(frame, plan=replace(PLAN, context=CONTEXT | {"stale": "keep"}))


def test_excel_holds_numbers_and_no_formulas():
    sheet = ablation_sheet(make_frame(PLAN, VALUES), plan=PLAN)
    book = pd.read_excel(io.BytesIO(write(sheet, "excel")), sheet_name=None, index_col=0)
    assert set(book) == {"table", "caption"}
    assert book["table"].loc["+ MHAD", "accuracy"] == 31.0
    assert list(book["table"].index) == list(PLAN.rows)


def test_names_with_special_characters_in_html():
    plan = make_plan(['<b>&"x"', "a=b"], (0,))
    text = write(ablation_sheet(make_frame(plan, {'<b>&"x"': [50], "a=b": [49]}), plan=plan), "html")
    assert '<th scope="row">&lt;b&gt;&amp;&quot;x&quot;</th>' in text
    assert '<td data-value="50.0"><b>50.00</b></td>' in text
    assert '<td class=number data-value="-1.0">-1.00</td>' in text


def test_a_page_sorts_numbers_by_value_and_ids_that_begin_with_a_digit_as_words():
    texts = {
        "12ab": None,
        "3.50 \u00b1 0.10": 3.5,
        "-1.25 to +2.00": -1.25,
        "2/3": 2.0,
        "0.0586": 0.0586,
        "1e-05": 1e-5,
    }
    columns = tuple(Column(str(i)) for i in range(len(texts) + 2))
    line = (Entry("9 rows"), *map(Entry, texts), Entry("higher (p = 0.03)", sorts_by=0.03))
    found = re.findall(r"<td[^>]*>", html_table(Sheet("x", "x", columns, (line,), pd.DataFrame())))
    keys = [float(value[1]) if (value := re.search(r'data-value="(.+?)"', each)) else None for each in found]
    assert keys == [*texts.values(), 0.03]


def test_an_unknown_column_lists_what_exists():
    with pytest.raises(ValueError, match=r"among \['accuracy', 'interval'.*'price' is not"):
        ablation_sheet(make_frame(PLAN, VALUES), plan=PLAN, columns=("price",))
