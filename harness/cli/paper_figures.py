"""The figures of ``dfkd paper`` that need more than a grid's records: a search's study, or networks and images."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dfkd.errors import UserError
from harness.cli.network_figures import Asked, cells_of_rows, network_figure
from harness.cli.options import errors
from harness.cli.reporting import RefusedReportError, refusals
from harness.cli.search_figures import OF_SEARCHES, search_figure
from harness.records import Plan
from harness.store import Store, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from matplotlib.figure import Figure

PANELS = 6
"""Rows at most whose networks stand in one figure."""
EVALUATOR = "ped-anova"
IMAGES = 4


def write_search_figures(store: Store, out: Path) -> None:
    """Draw the figures of each search whose study is in the store."""
    for journal in sorted((store.root / "studies").glob("*/journal.log")):
        name = journal.parent.name
        for figure in OF_SEARCHES:
            if figure == "front" and len(_objectives(journal.parent)) < 2:
                continue
            draw = partial(search_figure, figure, store, name, evaluator=EVALUATOR)
            _save(f"{figure} of the search {name}", out / f"{name}-{figure}", draw)


def _objectives(folder: Path) -> "tuple[object, ...]":
    from harness.search.trials import study_objectives  # here, because Optuna takes a second to import

    try:
        return study_objectives(folder)
    except StoreError:  # an early version's; the other figures say so
        return ()


def write_network_figures(name: str, plan: Plan, store: Store, out: Path, data_root: Path | None) -> None:
    """Draw what the networks of a grid's first rows look at: features, Grad-CAM, and the reference row's attention."""
    try:
        cells = dict(list(cells_of_rows(plan, store, ()).items())[:PANELS])
    except StoreError:  # nothing is done yet
        return
    if not any((store.cell(cell_id) / "student.pt").exists() for cell_id in cells.values()):
        errors.print(f"left out figures of networks of {name}: no student of its runs is in the store.", markup=False)
        return
    asked = Asked((), None, IMAGES, None, data_root, None)
    first = plan.reference if plan.reference in cells else next(iter(cells))
    for figure, chosen in (("features", cells), ("gradcam", cells), ("attention", {first: cells[first]})):
        _save(f"{figure} of {name}", out / f"{name}-{figure}", partial(_of_networks, figure, store, chosen, asked))


def _of_networks(figure: str, store: Store, cells: dict[str, str], asked: Asked) -> "tuple[Figure, None]":
    return network_figure(figure, store, cells, asked), None


def _save(what: str, stem: Path, draw: "Callable[[], tuple[Figure, pd.DataFrame | None, *tuple[str, ...]]]") -> None:
    """Draw and save; or say why ``what`` is left out, where something that it needs is not at hand."""
    from reports.figures import save

    try:
        with refusals():
            drawn, table, *_ = draw()
    except (RefusedReportError, UserError) as error:
        errors.print(f"left out {what}: {error}", markup=False)
        return
    save(drawn, stem, table)
