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
from reports.latex import LONG, to_latex
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
    narrow, wide = (written(make_plan(["a" * count, "b"]), [0.5] * 4, "latex") for count in (27, 28))
    assert "\\footnotesize" not in narrow
    assert "\\label{tab:table3}\n\\footnotesize\n\\begin{tabular}" in wide


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
