"""The LaTeX tables compile as they stand, with a real TeX."""

import shutil
import subprocess

import pytest

from frames import frame_of
from harness.records import Plan, PlannedCell
from reports import COLUMNS, ablation_sheet, published, write

ROWS = ("Baseline", "+ SFCL", "50% a_b & c#d $x$ {y} \\z ~ ^ <1>|2", "[0] * done", "+ MHAD + SFCL")
CELLS = tuple(PlannedCell(f"{i}/{seed}", row, seed) for i, row in enumerate(ROWS) for seed in (0, 1))


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="needs pdflatex: apt-get install texlive-latex-recommended"
)
def test_tables_compile_with_booktabs_and_nothing_else(tmp_path):
    context = {"dataset": "CUB200", "settings": {"data.classes": "first:20"}, "student": "resnet10_half"}
    plan = Plan("k", "table3", "Title with 100 % & _", ROWS, ROWS[0], (0, 1), CELLS, context)
    frame = frame_of(plan, [10, 12, 20, 19, 30, None, 5, 6, None, None])
    stale = [CELLS[0].id]
    sheet = ablation_sheet(frame, plan=plan, columns=tuple(COLUMNS), stale=stale, published=published("table3"))
    body = write(sheet, "latex") + write(ablation_sheet(frame, plan=plan), "latex")
    preamble = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n"
    (tmp_path / "table.tex").write_text(preamble + body + "\\end{document}\n", encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "table.pdf").stat().st_size > 1000
