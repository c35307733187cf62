"""The LaTeX tables compile as they stand, with a real TeX."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from frames import frame_of
from harness.records import Plan, PlannedCell
from reports import COLUMNS, ablation_sheet, published, write

ROWS = ("Baseline", "+ SFCL", "50% a_b & c#d $x$ {y} \\z ~ ^ <1>|2", "[0] * done", "+ MHAD + SFCL")
CELLS = tuple(PlannedCell(f"{i}/{seed}", row, seed) for i, row in enumerate(ROWS) for seed in (0, 1))


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("pdflatex") is None, reason="needs pdflatex: apt-get install texlive-latex-recommended"
    ),
]
ARCHIVES = sorted((Path(__file__).parents[2] / "docs" / "results").glob("*/runs.tar.gz"))


def compiled(body, folder):
    """Compile ``body`` with booktabs and nothing else; return what TeX said."""
    preamble = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n"
    (folder / "table.tex").write_text(preamble + body + "\\end{document}\n", encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (folder / "table.pdf").stat().st_size > 1000
    return done.stdout


def test_tables_compile_with_booktabs_and_nothing_else(tmp_path):
    context = {"dataset": "CUB200", "settings": {"data.classes": "first:20"}, "student": "resnet10_half"}
    plan = Plan("k", "table3", "Title with 100 % & _", ROWS, ROWS[0], (0, 1), CELLS, context)
    frame = frame_of(plan, [10, 12, 20, 19, 30, None, 5, 6, None, None])
    stale = [CELLS[0].id]
    sheet = ablation_sheet(frame, plan=plan, columns=tuple(COLUMNS), stale=stale, published=published("table3"))
    body = write(sheet, "latex") + write(ablation_sheet(frame, plan=plan), "latex")
    compiled(body, tmp_path)


@pytest.mark.parametrize("archive", ARCHIVES, ids=[path.parent.name for path in ARCHIVES])
def test_the_tables_of_the_committed_runs_compile_and_fit_the_page(run, tmp_path, archive):
    store, out = tmp_path / "runs", tmp_path / "out"
    assert run("import-store", str(archive), "--store", str(store))[0] == 0
    assert run("paper", "--store", str(store), "--tables", "--out", str(out), "--image-size", "32")[0] == 0
    tables = sorted(out.glob("*.tex"))
    assert len(tables) >= 2  # the grid's and Table 6
    said = compiled("".join(path.read_text(encoding="utf-8") + "\\clearpage\n" for path in tables), tmp_path)
    # The text of an article is 345 pt wide; TeX says by how much a line is wider.
    assert not re.findall(r"Overfull \\hbox \((\d+)", said)
