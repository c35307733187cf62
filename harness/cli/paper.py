"""``dfkd paper``: all tables and figures of one store or several, at once, into a folder."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from harness.cli.options import DEFAULT_STORE, DataRootOption, errors, guarded
from harness.cli.paper_figures import write_network_figures, write_search_figures
from harness.cli.report import Selection, SelectionOption
from harness.cli.reporting import (
    RefusedReportError,
    all_pictures,
    data_of,
    marked_stale,
    named_columns,
    network_costs,
    refusals,
    write_file,
)
from harness.cli.reproduction import stored_arguments
from harness.records import Plan, read_plans
from harness.store import Store, StoreError, known_store

if TYPE_CHECKING:
    from reports.architecture import Layer

FORMATS = {"markdown": "md", "csv": "csv", "latex": "tex"}
WORKBOOK = {"excel": "xlsx"}
PAPER_TABLES = ("table1", "table2", "table3", "table4", "table5")


class Stale(StrEnum):
    """What becomes of runs whose trainer has changed since."""

    mark = "mark"
    keep = "keep"


@dataclass(frozen=True)
class Found:
    """A plan in a store, and the name of its files."""

    store: Store
    plan: Plan
    name: str


@guarded
def paper(
    stores: Annotated[
        list[Path] | None, typer.Option("--store", help="Folder of a run store; repeatable, for several data sets.")
    ] = None,
    plans: Annotated[
        list[str] | None,
        typer.Option("--plan", metavar="KEY", help="Only these plans, by the beginning of their keys; repeatable."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write into.")] = Path("paper"),
    selection: SelectionOption = Selection.last,
    stale: Annotated[
        Stale,
        typer.Option("--stale", help="keep: no mark on runs whose trainer's code has changed since."),
    ] = Stale.mark,
    tables_alone: Annotated[bool, typer.Option("--tables", help="Tables alone, without pages and figures.")] = False,
    image_size: Annotated[int, typer.Option("--image-size", help="Of Table 6's generator, in pixels.")] = 224,
    data_root: DataRootOption = None,
) -> int:
    """Write every table and figure of every grid and search in the stores: tables, pages, figures, the paper's Tables 1
    to 6. Figures of networks need students, teacher and images at hand; what lacks them is left out, and said."""
    opened = [known_store(each) for each in stores or [DEFAULT_STORE]]
    whole = _find(opened, plans or [])
    if stale == Stale.keep:
        whole = [
            replace(each, plan=replace(each.plan, context={**each.plan.context, "stale": "keep"})) for each in whole
        ]
    console = Console(highlight=False, soft_wrap=True)
    complete = True
    for each in whole:
        complete &= _written(each.name, partial(_write_columns, each, out, selection))
    found = [column for each in whole for column in _columns(each)]
    for each in found:
        if _written(
            each.name, partial(_write_grid, each, out, selection, data_root=data_root, tables_alone=tables_alone)
        ):
            console.print(f"{each.name}: {each.plan.title}", markup=False)
        else:
            complete = False
    for grid in PAPER_TABLES:
        parts = [each for each in found if each.plan.grid == grid]
        if parts:
            complete &= _written(f"the paper's {grid}", partial(_write_paper_table, parts, out, selection))
    _write_table6(out, image_size)
    if not tables_alone:
        for each in found:
            write_network_figures(each.name, each.plan, each.store, out / "figures", data_root)
        for store in () if plans else opened:
            write_search_figures(store, out / "figures")
    console.print(f"{len(whole)} grids, in {out}", markup=False)
    return 0 if complete else 1


def _written(what: str, write: Callable[[], None]) -> bool:
    """Call ``write``; return whether the runs could be shown so. If not, say why ``what`` is left out."""
    try:
        with refusals():
            write()
    except RefusedReportError as error:
        errors.print(f"left out {what}: {error}", markup=False)
        return False
    return True


def _find(stores: list[Store], keys: list[str]) -> list[Found]:
    """Return the plans of grids; single runs and searches are not tables.

    Raises:
        StoreError: a store is not there, or there is no plan, or none with a key.
    """
    missing = next((store for store in stores if not store.root.is_dir()), None)
    if missing is not None:
        raise StoreError(f"The store must exist to be reported, but there is none at {missing.root}.")
    pairs = [(store, plan) for store in stores for plan in read_plans(store.root)]
    grids = [(s, plan) for s, plan in pairs if plan.grid != "distill" and not plan.grid.startswith("search-")]
    unknown = next((key for key in keys if not any(plan.key.startswith(key) for _, plan in grids)), None)
    listed = ", ".join(f"{plan.key} ({plan.grid})" for _, plan in grids) or "none"
    if unknown is not None or not grids:
        what = f"`--plan` must begin a plan's key, but {unknown!r} begins none" if unknown else "There must be a grid"
        where = ", ".join(str(store.root) for store in stores)
        raise StoreError(f"{what}; those in {where}: {listed}. `dfkd ablate` stores a grid's plan when it starts.")
    chosen = [(s, plan) for s, plan in grids if not keys or any(plan.key.startswith(key) for key in keys)]
    return [Found(store, plan, name) for (store, plan), name in zip(chosen, _names(chosen), strict=True)]


def _names(chosen: Sequence[tuple[Store, Plan]]) -> list[str]:
    """Return what begins each plan's files: its grid, with its key where several are of that, with the store's place
    among the stores where several have the very plan."""
    names = [plan.grid for _, plan in chosen]
    names = [
        name if names.count(name) == 1 else f"{name}-{plan.key[:8]}"
        for name, (_, plan) in zip(names, chosen, strict=True)
    ]
    stores = list(dict.fromkeys(store.root for store, _ in chosen))
    return [
        name if names.count(name) == 1 else f"{name}-store{stores.index(store.root) + 1}"
        for name, (store, _) in zip(names, chosen, strict=True)
    ]


def _columns(found: Found) -> list[Found]:
    """Return a grid on several images or teachers as one for each of them."""
    parts = named_columns(found.store.root, found.plan)
    return [replace(found, plan=part.plan, name=f"{found.name}{suffix}") for part, suffix in parts]


def _write_columns(found: Found, out: Path, selection: str) -> None:
    """Write the table of a grid on several images or teachers, with these as columns."""
    from reports import columns_sheet, write

    parts = [
        part for part, _ in named_columns(found.store.root, found.plan, stale=marked_stale(found.plan, found.store))
    ]
    if len(parts) > 1:
        for format, suffix in FORMATS.items():
            write_file(out / f"{found.name}.{suffix}", write(columns_sheet(parts, selection=selection), format))


def _write_grid(found: Found, out: Path, selection: str, *, data_root: Path | None, tables_alone: bool) -> None:
    """Write a grid's tables, its runs, its page and its figures."""
    from reports import ablation_sheet, page, render_runs, runs_frame, runs_table, write
    from reports.figures import to_bytes
    from reports.page import grid_figures
    from reports.sources import open_source

    store, plan = found.store, found.plan
    stale, frame = marked_stale(plan, store), runs_frame(store.root, plan)
    sheet = ablation_sheet(frame, plan=plan, selection=selection, stale=stale)
    for format, suffix in (FORMATS if tables_alone else FORMATS | WORKBOOK).items():
        write_file(out / f"{found.name}.{suffix}", write(sheet, format))
    runs = render_runs(runs_table(store.root, plan), planned=len(plan.cells), stale=stale)
    write_file(out / f"{found.name}-runs.md", runs)
    if tables_alone:
        return
    networks = network_costs(frame, plan)
    pictures = all_pictures(plan, store, data=data_of(plan, store), data_root=data_root)
    arguments = stored_arguments(plan, store.root)
    text = page(
        store.root, plan, selection=selection, stale=stale, networks=networks, pictures=pictures, arguments=arguments
    )
    write_file(out / f"{found.name}.html", text)
    drawn = grid_figures(open_source(store.root), frame, plan, selection, networks, pictures)
    for name, _, figure in drawn:
        for suffix in ("png", "svg"):
            write_file(out / "figures" / f"{found.name}-{name}.{suffix}", to_bytes(figure, suffix))


def _write_paper_table(parts: list[Found], out: Path, selection: str) -> None:
    """Write a table of the paper in its own layout, with its figures beside ours."""
    from reports import published, runs_frame, write
    from reports.datasets import Part, crossed_sheet, paper_sheet

    grid = parts[0].plan.grid
    own = [
        Part(each.plan, runs_frame(each.store.root, each.plan), marked_stale(each.plan, each.store)) for each in parts
    ]
    sheets = {f"paper-{grid}": paper_sheet(own, selection=selection, published=published(grid))}
    if grid == "table2":
        names = (f"paper-{each.name}-crossed" for each in parts)
        sheets |= {name: crossed_sheet(part, selection=selection) for name, part in zip(names, own, strict=True)}
    for name, sheet in sheets.items():
        for format, suffix in FORMATS.items():
            write_file(out / f"{name}.{suffix}", write(sheet, format))


def _write_table6(out: Path, image_size: int) -> None:
    from reports import write
    from reports.architecture import architecture_sheet

    sheet = architecture_sheet(list(generator_layers(image_size)), image_size=image_size)
    for format, suffix in FORMATS.items():
        write_file(out / f"paper-table6.{suffix}", write(sheet, format))


def generator_layers(image_size: int) -> "Iterator[Layer]":
    """Yield the layers of the generator at the paper's settings, each block's attention after its deconvolution."""
    from torch import nn

    from dfkd.config import DataConfig, GeneratorConfig
    from dfkd.models.generator import AttentionGenerator
    from reports.architecture import Layer

    DataConfig(image_size=image_size)  # refuses what is not a multiple of 16
    config = GeneratorConfig()
    network = AttentionGenerator(config, image_size=image_size, seed=0)

    def layers(part: str, module: nn.Module) -> Iterator[Layer]:
        for each in module.modules():
            if next(each.children(), None) is None or hasattr(each, "parametrizations"):
                kind = type(each).__name__.removeprefix("Parametrized")
                if kind in ("Identity", "_SpectralNorm", "ParametrizationList"):
                    continue
                kernel = getattr(each, "kernel_size", "")
                sides = (kernel, kernel) if isinstance(kernel, int) else kernel
                norm = " + spectral norm" if hasattr(each, "parametrizations") else ""
                count = sum(parameter.numel() for parameter in each.parameters())
                yield Layer(part, kind + norm, " x ".join(map(str, sides)), _channels(each), count)

    yield from layers("seed", network.project)
    yield from layers("seed", network.normalise)
    for i, (upsample, attend) in enumerate(zip(network.upsample, network.attend, strict=True), 1):
        yield from layers(f"block {i}", upsample)
        yield Layer(f"block {i}", "LeakyReLU", "", "", 0)
        yield from layers(f"attention {i}", attend)
        yield Layer(f"attention {i}", f"Softmax over {config.attention.softmax_axis}", "", "", 0)
    yield from layers("image", network.to_image)
    yield Layer("image", "Tanh", "", "", 0)


def _channels(layer: object) -> str:
    for before, after in (("in_channels", "out_channels"), ("in_features", "out_features")):
        if hasattr(layer, before):
            return f"{getattr(layer, before)} to {getattr(layer, after)}"
    return str(getattr(layer, "num_features", ""))
