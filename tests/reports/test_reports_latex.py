"""The LaTeX tables: what is written, and that it compiles as it stands, with a real TeX."""

import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from frames import frame_of
from harness.records import Plan, PlannedCell
from rendered import CAPTION, PLAN, VALUES, make_plan
from rendered import write as written
from reports import COLUMNS, ablation_sheet, published, write
from reports.datasets import Part, paper_sheet
from reports.latex import LONG, escaped, to_latex
from reports.sheet import Column, Entry, Sheet

ROWS = ("Baseline", "+ SFCL", "50% a_b & c#d $x$ {y} \\z ~ ^ <1>|2", "[0] * done", "+ MHAD + SFCL")
CELLS = tuple(PlannedCell(f"{i}/{seed}", row, seed) for i, row in enumerate(ROWS) for seed in (0, 1))


NEEDS_TEX = pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="needs pdflatex: apt-get install texlive-latex-recommended"
)
ARCHIVES = sorted((Path(__file__).parents[2] / "docs" / "results").glob("*/runs.tar.gz"))


def test_latex():
    assert written(PLAN, VALUES, "latex") == "\n".join(
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


def test_latex_escapes_names_caption_and_label():
    plan = make_plan(["+ 50% a_b & c#d", r"{x} \y ~ ^ $ <", "[0] *"], seeds=(0,), grid="my grid_1%", dataset="cub_200")
    text = written(plan, [0.1, 0.2, 0.3], "latex")
    assert r"+ 50\% a\_b \& c\#d & 10.00 &  & 1/1 \\" in text
    assert r"\{x\} \textbackslash{}y \textasciitilde{} \textasciicircum{} \$ $<$ & \underline{20.00}" in text
    # A bracket or a star after `\\` would be read as its argument.
    assert "\n{[}0] {*} & " in text
    assert r"Data: cub\_200, 10 classes" in text
    assert r"Difference: from + 50\% a\_b \& c\#d, paired" in text
    assert r"\label{tab:my-grid_1-}" in text


def test_latex_is_balanced():
    plan = make_plan(["a{", "b}}", "$c", "d % e"], seeds=(0,))
    text = written(plan, [0.1, 0.2, 0.3, None], "latex")
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
    narrow, wide = (written(make_plan(["l" * count, "b"]), [0.5] * 4, "latex") for count in (27, 28))
    assert "\\footnotesize" not in narrow
    assert "\\label{tab:table3}\n\\footnotesize\n\\begin{tabular}" in wide
    # In cmr10 an l is 2.8 points and an a 5: 27 of these, the rest and eight gaps of 6 points are more than 345.
    assert "\\footnotesize" in written(make_plan(["a" * 27, "b"]), [0.5] * 4, "latex")


GREEK = "".join(map(chr, (*range(0x3B1, 0x3CA), *range(0x391, 0x3A2), *range(0x3A3, 0x3AA))))
SIGNS = (
    "\u2192\u2190\u2194\u21d2\u2264\u2265\u2260\u2248\u00d7\u00f7\u00b1\u2213\u00b7\u221e\u2212\u2208\u2211\u221a\u2207"
    "\u2013\u2014\u2019\u2018\u201c\u201d\u201e\u00ab\u00bb\u2026"
)
ACCENTED = "\u00e9\u00f1\u00df\u0142\u0151\u017e\u010d\u00e5\u00e6\u0153\u00c5\u0159\u0219"
OTHERS = "\u0105\u0111\u014b\u00fe\u1ebf\u6f22\U0001f426\u2153\ufb01\u0301\u200d\u0007\u00ad\u2011\u2610"


@pytest.mark.parametrize(
    ("name", "latex"),
    [
        ("\u03b1 \u2192 \u03a9", r"$\alpha$ $\rightarrow$ $\Omega$"),
        ("\u03c3 \u03c2 \u0391 \u0393 \u03c9", r"$\sigma$ $\varsigma$ A $\Gamma$ $\omega$"),  # after rho, two sigmas
        ("a \u2264 b \u00d7 2 \u00b1 \u221e", r"a $\leq$ b $\times$ 2 $\pm$ $\infty$"),
        ("1\u20132 \u2014 it\u2019s \u2212", "1--2 --- it's $-$"),
        (ACCENTED, ACCENTED),
        ("e\u0301", "\u00e9"),  # a letter and its accent apart
        ("\u1ebf \u0105 \u0111", "e a d"),
        ("\u6f22 \U0001f426 \u0007", "? ? ?"),
        ("\ufb01 \u2153", "fi 1/3"),
    ],
)
def test_what_tex_cannot_set_is_put_in_its_words_or_replaced(name, latex):
    assert escaped(name) == latex
    assert f"\n{latex} & " in written(make_plan([name, "b"]), [0.5] * 4, "latex").replace("\n\\underline", "")


def wide_sheet(columns, rows=4, name="row"):
    heads = (Column("Row"), *(Column(f"Data set {i}, 10 classes", number=i % 2 == 0) for i in range(columns)))
    lines = tuple(
        (
            Entry(f"{name} {row}"),
            *(Entry(f"{row}{i}.25 \u00b1 1.50", "best" if row == 0 else "") for i in range(columns)),
        )
        for row in range(rows)
    )
    return Sheet("wide", "", heads, lines, pd.DataFrame(), (1,))


def test_a_still_wider_table_is_smaller_still_and_then_split_by_columns():
    small = to_latex(wide_sheet(4), "The caption.")
    assert small.count(r"\begin{tabular}") == 1
    assert "\\scriptsize\n\\setlength{\\tabcolsep}{2pt}\n\\begin{tabular}{lrlrl}" in small
    sheet = wide_sheet(11)
    text = to_latex(sheet, "The caption.")
    tabulars = text.split(r"\begin{tabular}")[1:]
    assert len(tabulars) > 1
    assert text.count(r"\begin{table}") == text.count(r"\caption") == text.count(r"\label") == 1
    assert all(re.findall(r"^row \d", tabular, re.MULTILINE) == [f"row {i}" for i in range(4)] for tabular in tabulars)
    assert [tabular.count(r"\midrule") for tabular in tabulars] == [2] * len(tabulars)
    for i, column in enumerate(sheet.columns[1:]):  # once each, under its own heading
        (found,) = [tabular for tabular in tabulars if f"{column.name} " in tabular]
        assert all(f"{row}{i}.25" in found for row in range(4))
    assert len(re.findall(r"\.25 ", text)) == 44


def test_a_split_table_of_many_rows_goes_on_in_further_floats_with_the_same_columns():
    text = to_latex(wide_sheet(11, rows=40), "The caption.")
    floats = text.split(r"\begin{table}")[1:]
    assert len(floats) > 1
    heads = [[line for line in each.splitlines() if line.startswith("Row & ")] for each in floats]
    assert all(each == heads[0] for each in heads)
    assert len(re.findall(r"\.25 ", text)) == 440


def test_names_that_leave_no_room_are_folded():
    text = to_latex(wide_sheet(3, name="student_loss.mhad.weight=100," * 6), "The caption.")
    assert r"\begin{tabular}{p{168.5pt}" in text
    assert r"student\_\allowbreak{}loss.\allowbreak{}mhad" in text
    assert r"\allowbreak" not in to_latex(wide_sheet(1, name="a_b.c"), "The caption.")


def test_a_long_table_goes_on_in_another_float_of_the_same_number():
    def lines(count, *rules):
        columns = (Column("Row"), Column("Number", number=True))
        entries = tuple((Entry(f"row {i}"), Entry(str(i))) for i in range(count))
        return Sheet("long", "", columns, entries, pd.DataFrame(), rules)

    one, many = (
        to_latex(lines(LONG), "The caption."),
        to_latex(lines(2 * LONG + 1, 5, LONG - 2, LONG + 3), "The caption."),
    )
    assert one.count(r"\begin{table}") == 1
    # A rule above line 38 is the last that fits; then 40 more lines; then the rest.
    parts = many.split(r"\begin{table}")[1:]
    assert [re.findall(r"^row (\d+) ", part, re.MULTILINE)[0] for part in parts] == [
        "0",
        str(LONG - 2),
        str(2 * LONG - 2),
    ]
    assert [part.count(r"\midrule") for part in parts] == [2, 2, 1]  # one under each head, and the rules within
    assert [part.count(r"\caption{The caption.}") for part in parts] == [1, 0, 0]
    assert many.count(r"\addtocounter{table}{-1}") == many.count(r"\caption{Continued.}") == 2
    assert many.count(r"\label") == 1
    assert all(f"row {i} & " in many for i in range(2 * LONG + 1))


def compiled(body, folder):
    """Compile ``body`` with booktabs and nothing else; return what TeX said."""
    preamble = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n"
    (folder / "table.tex").write_text(preamble + body + "\\end{document}\n", encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (folder / "table.pdf").stat().st_size > 1000
    return done.stdout


@pytest.mark.slow
@NEEDS_TEX
def test_tables_compile_with_booktabs_and_nothing_else(tmp_path):
    context = {"dataset": "CUB200", "settings": {"data.classes": "first:20"}, "student": "resnet10_half"}
    plan = Plan("k", "table3", "Title with 100 % & _", ROWS, ROWS[0], (0, 1), CELLS, context)
    frame = frame_of(plan, [10, 12, 20, 19, 30, None, 5, 6, None, None])
    stale = [CELLS[0].id]
    sheet = ablation_sheet(frame, plan=plan, columns=tuple(COLUMNS), stale=stale, published=published("table3"))
    body = write(sheet, "latex") + write(ablation_sheet(frame, plan=plan), "latex")
    compiled(body, tmp_path)


@pytest.mark.slow
@NEEDS_TEX
def test_any_character_compiles_in_names_captions_and_headings(tmp_path):
    every = [GREEK, SIGNS, ACCENTED, ACCENTED.upper(), OTHERS, *map(chr, (*range(0x20, 0x180), *range(0x370, 0x400)))]
    blocks = (*range(0x180, 0x370, 16), *range(0x1E00, 0x2700, 16))
    every += ["".join(map(chr, range(first, first + 16))) for first in blocks]
    lines = tuple((Entry(f"x{each}x"), Entry(each[-2:])) for each in every)
    sheet = Sheet("characters", "", (Column("Row " + SIGNS), Column(GREEK)), lines, pd.DataFrame())
    body = to_latex(sheet, f"{GREEK} {SIGNS} {ACCENTED} {OTHERS}.")
    said = compiled(body.replace(r"\begin{table}", r"\clearpage\begin{table}"), tmp_path)
    assert "Missing character" not in said


@pytest.mark.slow
@NEEDS_TEX
@pytest.mark.parametrize(
    "sheet",
    [
        lambda: full_sheet(),
        lambda: full_sheet(beside="CUB200"),
        lambda: full_sheet(beside="Digits"),  # which the paper has not: all of its columns
        lambda: two_datasets(),
        lambda: wide_sheet(4),
        lambda: wide_sheet(11),
        lambda: wide_sheet(11, rows=40),
        lambda: wide_sheet(3, name="student_loss.mhad.weight=100," * 6),
        lambda: wide_sheet(3, name="W" * 60),
    ],
    ids=["all", "beside", "beside-all", "datasets", "small", "split", "split-long", "folded", "unbroken"],
)
def test_wide_tables_fit_the_page(tmp_path, sheet):
    said = compiled(write(sheet(), "latex"), tmp_path)
    assert "Float too large" not in said
    assert "Overfull" not in said


def full_plan(dataset):
    context = {"dataset": dataset, "classes": 20, "image_size": 64, "student": "resnet10_half"}
    rows = ("Baseline", "+ SFCL", "+ MHAD", "+ MHAD + SFCL")
    cells = tuple(PlannedCell(f"{dataset}{row}/{seed}", row, seed) for row in rows for seed in range(6))
    return Plan(dataset, "table3", "Losses", rows, rows[0], tuple(range(6)), cells, context)


def full_frame(plan):
    return frame_of(plan, [10.0 + 3 * (i // 6) + (i * 7) % 5 for i in range(len(plan.cells))])


def full_sheet(beside=None):
    """Return a table with all columns, of six seeds: with a test; and with the paper's figures."""
    plan = full_plan(beside or "CUB200")
    theirs = published("table3") if beside else None
    networks = {"resnet10_half": (1_230_000, 456_000_000)}
    return ablation_sheet(full_frame(plan), plan=plan, columns=tuple(COLUMNS), networks=networks, published=theirs)


def two_datasets():
    parts = [Part(plan, full_frame(plan)) for plan in map(full_plan, ("CUB200", "Aircraft"))]
    return paper_sheet(parts, published=published("table3"))


@pytest.mark.slow
@NEEDS_TEX
@pytest.mark.parametrize("archive", ARCHIVES, ids=[path.parent.name for path in ARCHIVES])
def test_the_tables_of_the_committed_runs_compile_and_fit_the_page(run, tmp_path, archive):
    store, out = tmp_path / "runs", tmp_path / "out"
    assert run("import-store", str(archive), "--store", str(store))[0] == 0
    assert run("paper", "--store", str(store), "--tables", "--out", str(out), "--image-size", "32")[0] == 0
    tables = sorted(out.glob("*.tex"))
    assert len(tables) >= 2  # the grid's and Table 6
    said = compiled("".join(path.read_text(encoding="utf-8") + "\\clearpage\n" for path in tables), tmp_path)
    # The text of an article is 345 pt wide; TeX says by how much a line is wider.
    # and "Float too large" of a float that is longer than the page.
    assert "Float too large" not in said
    assert not re.findall(r"Overfull \\hbox \((\d+)", said)
