"""A grid on several data sets or with several teachers: each of its columns beside the others, rows as they are."""

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from harness.records import Plan, plan_columns
from reports.cost import Networks
from reports.datasets import Part, beside_paper, column_titles, paper_sheet
from reports.frame import runs_frame
from reports.published import Published
from reports.render import ablation_sheet, setting
from reports.sheet import DAGGER, MISSING, Column, Entry, Sheet
from reports.sources import Source
from reports.table import ablation_table


def column_parts(where: Source | Path | str, plan: Plan, *, stale: Collection[str] = ()) -> list[Part]:
    """Return the columns of a plan with their runs, each a plan of its own; ``stale`` are cells as in a table."""
    return [Part(part, runs_frame(where, part), stale) for part in plan_columns(plan)]


def columns_sheet(
    parts: Sequence[Part],
    *,
    selection: str = "last",
    columns: Sequence[str] | None = None,
    networks: Sequence[Networks] | None = None,
    published: Published | None = None,
) -> Sheet:
    """Return the table of a grid with its ``parts`` as columns: accuracy, or several ``columns`` of each part.

    Differences are taken from the reference of the same part. ``networks`` says of each part what students cost.

    Raises:
        ReportError: runs that cannot stand in one column.
    """
    if columns is None:
        sheet = paper_sheet(parts, selection=selection, published=published)
    else:
        costs = networks or [{}] * len(parts)
        own = [
            ablation_sheet(
                part.frame, plan=part.plan, selection=selection, columns=columns, stale=part.stale, networks=cost
            )
            for part, cost in zip(parts, costs, strict=True)
        ]
        sheet = _side_by_side(parts, own)
        if published:
            tables = [ablation_table(part.frame, plan=part.plan, selection=selection) for part in parts]
            sheet = beside_paper(sheet, published, parts, tables)
    plan = parts[0].plan
    rest = sheet.caption.removeprefix(f"{plan.title}. ")
    return replace(sheet, label=plan.grid, caption=f"{'. '.join([plan.title, *_settings(parts)])}. {rest}")


def _settings(parts: Sequence[Part]) -> list[str]:
    """Return what the runs of each column share, then what those of all columns do."""
    each = [setting(part.plan) for part in parts]
    shared = [sentence for sentence in each[0] if all(sentence in other for other in each)]
    own = [
        f"{title}: {'; '.join(sentence for sentence in sentences if sentence not in shared)}"
        for title, sentences in zip(column_titles(parts), each, strict=True)
    ]
    return [*own, *shared]


def _side_by_side(parts: Sequence[Part], sheets: Sequence[Sheet]) -> Sheet:
    """Return the tables of the parts as one, rows by name; a row that a part has not is missing there."""
    rows = list(dict.fromkeys(row for part in parts for row in part.plan.rows))
    heads, numbers = [Column("Row")], pd.DataFrame(index=pd.Index(rows, name="row"))
    lines = {row: [Entry(row)] for row in rows}
    titles = column_titles(parts)
    for part, title, sheet in zip(parts, titles, sheets, strict=True):
        heads += [Column(f"{title}: {head.name}", head.number) for head in sheet.columns[1:]]
        found = dict(zip(part.plan.rows, sheet.lines, strict=True))
        for row in rows:
            lines[row] += _entries(found[row]) if row in found else [Entry(MISSING)] * (len(sheet.columns) - 1)
        numbers = numbers.join(sheet.numbers.add_prefix(f"{title}: "))
    more = [
        f"{title}: {sheet.caption.removeprefix('. '.join([part.plan.title, *setting(part.plan)]) + '. ')}"
        for part, title, sheet in zip(parts, titles, sheets, strict=True)
    ]
    plan = parts[0].plan
    caption = f"{plan.title}. {' '.join(more)}"
    return Sheet(plan.grid, caption, tuple(heads), tuple(tuple(line) for line in lines.values()), numbers)


def _entries(line: Sequence[Entry]) -> list[Entry]:
    """Return a line without its name, whose dagger the first entry gets."""
    name, first, *rest = line
    marked = Entry(f"{first.text} {DAGGER}", first.mark) if name.text.endswith(DAGGER) else first
    return [marked, *rest]


def file_part(title: str) -> str:
    """Return a column's title as a part of a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
