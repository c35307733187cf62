"""The paper's own figures beside ours, and which of its claims hold here."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations, pairwise, product
from pathlib import Path
from typing import Any

import pandas as pd

from harness.records import Plan
from reports.errors import ReportError
from reports.sheet import DAGGER, MISSING, Column, Entry, Sheet

PATH = Path(__file__).with_name("published.toml")
ALONE = "(paper)"
"""Ends the names of rows that the paper has and we have not."""
AIRCRAFT_ALONE = "table2"
"""The table whose figures are of Aircraft alone."""


@dataclass(frozen=True)
class Claim:
    """What the paper says of the order of its rows."""

    text: str
    pairs: tuple[tuple[str, str], ...]
    """Two rows each, the worse one first."""


@dataclass(frozen=True)
class Published:
    """One of the paper's tables: top-1 accuracy in percent, single runs at 224 pixels."""

    paper: str
    datasets: tuple[str, ...]
    teacher: Mapping[str, Sequence[float]]
    rows: Mapping[str, Sequence[float]]
    claims: tuple[Claim, ...]

    def shown(self, dataset: str | None) -> tuple[str, ...]:
        """Return the data sets whose figures belong beside ours: the same one, or all if the paper has it not."""
        return tuple(name for name in self.datasets if name == dataset) or self.datasets

    def figure(self, row: str, dataset: str) -> float | None:
        """Return what the paper prints for a row on a data set."""
        figures = {**self.teacher, **self.rows}.get(row)
        return None if figures is None else figures[self.datasets.index(dataset)]

    def datasets_of(self, ours: Sequence[str | None]) -> tuple[str, ...]:
        """Return the paper's data sets that belong beside several of ours, in the paper's order."""
        wanted = {name for dataset in ours for name in self.shown(dataset)}
        return tuple(name for name in self.datasets if name in wanted)

    def beside(self, sheet: Sheet, *, plan: Plan, accuracy: "pd.Series[float]") -> Sheet:
        """Return ``sheet`` with the paper's figures as columns, its teacher as a line, and what agrees as notes.

        ``accuracy`` is ours by row, in percent, NaN where there is none.
        """
        datasets = self.shown(plan.context.get("dataset"))
        blank = (Entry(MISSING),) * (len(sheet.columns) - 1)
        signed = {f"{name} {ALONE}": name for name in self.teacher}
        rules = (*sheet.rules, len(sheet.lines)) if signed else sheet.rules
        wider = replace(sheet, lines=(*sheet.lines, *((Entry(name), *blank) for name in signed)), rules=rules)
        joined = self.joined(wider, datasets, self.agreement(accuracy, datasets), aliases=signed)
        return replace(joined, caption=f"{joined.caption} Rows with {ALONE}: the paper's alone.") if signed else joined

    def joined(
        self,
        sheet: Sheet,
        datasets: Sequence[str],
        notes: Sequence[str],
        *,
        aliases: Mapping[str, str] | None = None,
    ) -> Sheet:
        """Return ``sheet`` with the paper's figures on ``datasets``; ``aliases`` are the paper's names of our rows."""
        names = [line[0].text.removesuffix(f" {DAGGER}") for line in sheet.lines]
        known = {name: (aliases or {}).get(name, name) for name in names}
        figures = {name: [self.figure(theirs, dataset) for dataset in datasets] for name, theirs in known.items()}
        lines = tuple(
            (*line, *(Entry(MISSING if value is None else f"{value:.2f}") for value in found))
            for line, found in zip(sheet.lines, figures.values(), strict=True)
        )
        columns = (*sheet.columns, *(Column(f"Paper: {dataset} (%)", number=True) for dataset in datasets))
        numbers = sheet.numbers.reindex(list(figures)).rename_axis("row")
        for i, dataset in enumerate(datasets):
            numbers[f"paper_{dataset}"] = pd.Series({name: found[i] for name, found in figures.items()}, dtype=float)
        caption = f"{sheet.caption} Paper: {self.paper}, single runs at 224 px, no spread given."
        return replace(
            sheet, caption=caption, columns=columns, lines=lines, numbers=numbers, notes=(*sheet.notes, *notes)
        )

    def agreement(self, accuracy: "pd.Series[float]", datasets: Sequence[str] | None = None) -> list[str]:
        """Return in sentences how the order of our means agrees with the paper's, and which of its claims hold here."""
        ours = {str(row): float(value) for row, value in accuracy.items() if row in self.rows and not pd.isna(value)}
        sentences = []
        for dataset in datasets or self.datasets:
            same, pairs = 0, 0
            for one, other in combinations(ours, 2):
                theirs = (self.figure(one, dataset) or 0.0) - (self.figure(other, dataset) or 0.0)
                pairs += 1
                same += (ours[one] - ours[other]) * theirs > 0
            if pairs:
                sentences.append(f"{dataset}: {same} of {pairs} pairs of rows")
        first = [f"Means in the paper's order: {'; '.join(sentences)}."] if sentences else []
        told = [f"{claim.text}: {self._holds(claim, ours)}" for claim in self.claims]
        return [*first, f"The paper's claims here, by the means alone: {'; '.join(told)}."]

    @staticmethod
    def _holds(claim: Claim, ours: Mapping[str, float]) -> str:
        missing = [row for row in dict.fromkeys(row for pair in claim.pairs for row in pair) if row not in ours]
        if missing:
            return f"open ({', '.join(missing)} not run)"
        broken = [f"{low} is not below {high}" for low, high in claim.pairs if not ours[low] < ours[high]]
        return f"does not hold ({', '.join(broken)})" if broken else "holds"


def _pairs(claim: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the pairs of a claim: neighbours in an ``order``, or each row ``below`` with each one ``above``."""
    return tuple(pairwise(claim["order"])) if "order" in claim else tuple(product(claim["below"], claim["above"]))


@lru_cache
def _content() -> dict[str, Any]:
    return tomllib.loads(PATH.read_text(encoding="utf-8"))


def published(grid: str) -> Published:
    """Return the paper's table of a built-in grid; raise ReportError if the paper has none for it."""
    content = _content()
    tables = [name for name, value in content.items() if isinstance(value, dict)]
    if grid not in tables:
        raise ReportError(
            f"The paper must have a table of the grid to set beside ours, but it has none for {grid!r}: it has "
            f"{', '.join(tables)}. Leave `--beside` out."
        )
    table = content[grid]
    datasets = content["datasets"][:1] if grid == AIRCRAFT_ALONE else content["datasets"]
    claims = tuple(Claim(claim["text"], _pairs(claim)) for claim in table["claims"])
    return Published(content["paper"], tuple(datasets), table.get("teacher", {}), table["rows"], claims)
