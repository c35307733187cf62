"""A sheet as LaTeX that needs booktabs and nothing else."""

import re
from dataclasses import replace

import pandas as pd

from reports.sheet import DAGGER, MISSING, PLUS_MINUS, Entry, Sheet

WIDE = 68
"""Characters of a table's line above which it is set in a smaller size: an article's text is about as wide."""
LONG = 40
"""Lines above which a table is continued in another float: more do not fit on an article's page."""

LATEX_ESCAPES = str.maketrans(
    {
        **{character: f"\\{character}" for character in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": "$<$",
        ">": "$>$",
        "|": "$|$",
        PLUS_MINUS: r"$\pm$",
        DAGGER: r"$^\dagger$",
        # At the start of a line, the `\\` of the line before would take these two as its own.
        "[": "{[}",
        "*": "{*}",
    }
)


def to_latex(sheet: Sheet, caption: str) -> str:
    """Return a floating table under ``caption``, which is plain text.

    A wide one is set in \\footnotesize, below a caption of the usual size. A long one goes on in further floats of the
    same number, from a rule where there is one in the second half of a page.
    """
    starts = _starts(sheet)
    tables = []
    for start, end in zip(starts, [*starts[1:], len(sheet.lines)], strict=True):
        rules = tuple(rule - start for rule in sheet.rules if start < rule < end)
        part = replace(sheet, lines=sheet.lines[start:end], rules=rules)
        if start == 0:
            tables.append(_table(part, caption, smaller=_characters(sheet) > WIDE, labelled=True))
        else:
            again = _table(part, "Continued.", smaller=_characters(sheet) > WIDE, labelled=False)
            tables.append("\\addtocounter{table}{-1}\n" + again)
    return "% Needs \\usepackage{booktabs} in the preamble.\n" + "".join(tables)


def _starts(sheet: Sheet) -> list[int]:
    """Return the first line of each part that fits on a page."""
    starts = [0]
    while len(sheet.lines) - starts[-1] > LONG:
        last = starts[-1] + LONG
        starts.append(max((rule for rule in sheet.rules if last - LONG // 2 < rule <= last), default=last))
    return starts


def _table(sheet: Sheet, caption: str, *, smaller: bool, labelled: bool) -> str:
    body = pd.DataFrame(
        [[_entry(entry, first=i == 0) for i, entry in enumerate(line)] for line in sheet.lines],
        columns=[column.name.translate(LATEX_ESCAPES) for column in sheet.columns],
    )
    table = body.style.hide(axis="index").to_latex(
        hrules=True,
        environment="table",
        position="t",
        position_float="centering",
        column_format="".join("r" if column.number else "l" for column in sheet.columns),
        caption=caption.translate(LATEX_ESCAPES),
        label="tab:" + re.sub(r"[^A-Za-z0-9:._-]", "-", sheet.label) if labelled else None,
    )
    if sheet.rules:
        head, _, rest = table.partition("\\midrule\n")
        lines = rest.splitlines(keepends=True)
        for i in sorted(sheet.rules, reverse=True):
            lines.insert(i, "\\midrule\n")
        table = head + "\\midrule\n" + "".join(lines)
    return table.replace("\\begin{tabular}", "\\footnotesize\n\\begin{tabular}", 1) if smaller else table


def _entry(entry: Entry, *, first: bool) -> str:
    text = entry.text.translate(LATEX_ESCAPES)
    if not first and text != MISSING:  # numbers: a hyphen is no minus
        text = f"${text}$" if re.fullmatch(r"[+-][\d.]+", text) else re.sub(r"(?<![\w$.])-(?=\d)", "$-$", text)
    return {"best": r"\textbf{%s}", "second": r"\underline{%s}", "": "%s"}[entry.mark] % text


def _characters(sheet: Sheet) -> int:
    """Return how many characters a line has that has the longest entry of every column, with two between columns."""
    longest = [
        max([len(column.name), *(len(line[i].text) for line in sheet.lines)]) for i, column in enumerate(sheet.columns)
    ]
    return sum(longest) + 2 * (len(longest) - 1)
