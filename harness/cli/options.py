"""Options that several commands share, and the way errors leave the program."""

import errno
import functools
import gc
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, ParamSpec

import typer
from rich.console import Console

from dfkd.errors import UserError
from harness.layers import parse_settings
from harness.plan import Request, expand, parse_seeds
from search_spaces import SpaceError, load_grid

P = ParamSpec("P")

GridArgument = Annotated[
    str, typer.Argument(metavar="GRID", help="A built-in grid (`dfkd grids` lists them) or a TOML file.")
]
DatasetOption = Annotated[
    str, typer.Option("--dataset", help="Name of the data set: digits, cub200, ... (docs/data.md).")
]
DataRootOption = Annotated[Path | None, typer.Option("--data-root", help="Folder that holds the data set on disk.")]
BudgetOption = Annotated[
    str | None,
    typer.Option(
        "--budget", help="How much training: smoke, demo, small, paper, or a TOML file; by default the data set's."
    ),
]
SeedsOption = Annotated[str, typer.Option("--seeds", metavar="0,1,2", help="Seeds that every row is run with.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="[METHOD:]KEY=VALUE",
        help="Override one field, of all rows or of those of one method; repeatable.",
    ),
]
MatchOption = Annotated[
    bool,
    typer.Option(
        "--match-budget",
        help="Give data-free rows as many rounds as make them cost what the reference row costs, in forward and "
        "backward passes of teacher and student.",
    ),
]
StoreOption = Annotated[Path, typer.Option("--store", help="Folder of the run store.")]
TeacherOption = Annotated[
    Path | None, typer.Option("--teacher", metavar="FILE", help="A teacher's checkpoint, instead of the store's own.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, ...")]


class Precision(StrEnum):
    """What the networks compute in."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"


PrecisionOption = Annotated[
    Precision | None,
    typer.Option(
        "--precision",
        help="As `--set compute.precision=...`; with auto the fastest here, memory order included, measured once.",
    ),
]


class Engine(StrEnum):
    """What runs the forward passes of a step."""

    auto = "auto"
    eager = "eager"
    compile = "compile"
    graphs = "graphs"


EngineOption = Annotated[
    Engine,
    typer.Option(
        "--engine",
        help="PyTorch as it is, compiled by torch.compile, or compiled into CUDA graphs; auto measures whether "
        "compiling pays. Another engine may move last digits.",
    ),
]
CheckpointOption = Annotated[
    bool,
    typer.Option(
        "--checkpoint-activations",
        help="Compute activations of the generator's step twice instead of keeping them: less memory, the same bits.",
    ),
]
KeepNetworksOption = Annotated[
    bool,
    typer.Option(
        "--keep-networks",
        help="Keep each finished run's generator and auxiliary modules too: `dfkd figure attention` needs them.",
    ),
]
SamplesOption = Annotated[
    int | None,
    typer.Option(
        "--samples-every",
        min=0,
        metavar="EPOCHS",
        help="Keep a grid of synthetic images after every so many epochs; by default 10 over a run at most. 0: after "
        "the last one alone.",
    ),
]
CpusOption = Annotated[
    float,
    typer.Option("--cpus-per-trial", min=1, help="Cores, and threads, of a cell. Another number may move last digits."),
]
GpusOption = Annotated[
    float | None,
    typer.Option("--gpus-per-trial", min=0, help="GPUs of a cell, or a share; by default 1 if there is one."),
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="HOST:PORT",
        help="Join the running Ray cluster there, or `auto` for the one that this machine is part of; by default Ray "
        "is started on this machine alone (docs/cluster.md).",
    ),
]
TrackingOption = Annotated[
    str | None, typer.Option("--tracking-uri", help="MLflow's tracking URI; by default SQLite in the store.")
]
ProbeOption = Annotated[
    bool,
    typer.Option("--probe", help="Where no like cell shows what a step takes, take a few here; needs the teacher."),
]
SlotsOption = Annotated[
    int | None,
    typer.Option("--slots", min=1, help="Cells at a time; by default as many as this machine's cores or GPUs allow."),
]
BudgetHoursOption = Annotated[
    float | None,
    typer.Option(
        "--budget-hours",
        metavar="H",
        help="Start only cells whose estimates fit into H GPU-hours, or core-hours without a GPU, seed by seed.",
    ),
]


class Stale(StrEnum):
    """What becomes of finished cells whose trainer has changed since."""

    mark = "mark"
    keep = "keep"
    rerun = "rerun"


StaleOption = Annotated[
    Stale,
    typer.Option(
        "--stale",
        help="Finished cells whose trainer's code has changed since: marked in tables, kept without a mark, or run "
        "again, with the former result set aside.",
    ),
]


class Pack(StrEnum):
    """Who decides how many cells run side by side."""

    none = "none"
    auto = "auto"


PackOption = Annotated[
    Pack,
    typer.Option(
        "--pack",
        help="auto: measure a probe alone and in company, and choose how many cells share the cores (and with how many "
        "threads each), or a GPU. Once for a kind of cell and a machine; none: as --cpus-per-trial and "
        "--gpus-per-trial say.",
    ),
]


RetriesOption = Annotated[
    int, typer.Option("--retries", min=0, help="How often a cell that fails is tried again before it is quarantined.")
]


DEFAULT_STORE = Path("runs")
DEFAULT_DATASET = "digits"
DEFAULT_SEEDS = "0,1,2"

OBJECTS = 100_000
"""New containers after which the garbage collector looks at them, in a command that only looks at a store."""

errors = Console(stderr=True, highlight=False, soft_wrap=True)


def _print_error(text: str) -> None:
    errors.print("[bold red]error:[/bold red] ", end="")
    errors.print(text, markup=False)


def guarded(command: Callable[P, int]) -> Callable[P, None]:
    """Turn a command that returns its exit status into one that exits with it, and errors into messages.

    Bad input prints its message alone and exits with 2; Ctrl-C that a command did not handle itself exits with 130. A
    full disk is said to be one, and exits with 1: what was written stays whole.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            status = command(*args, **kwargs)
        except (UserError, SpaceError) as error:
            _print_error(str(error))
            status = 2
        except KeyboardInterrupt:
            errors.print("\nInterrupted.")
            status = 130
        except BrokenPipeError:
            sys.stderr.close()  # the reader went away, as `head` does
            status = 0
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            place = f" for {error.filename}" if error.filename else ""
            way_out = "Make room, then give the same command again: it goes on from what is there."
            _print_error(f"There must be room to write to, but the disk{place} is full. {way_out}")
            status = 1
        raise typer.Exit(status)

    return run


def only_looks(command: Callable[P, int]) -> Callable[P, int]:
    """Let the garbage collector rest while a command looks at a store.

    What it reads of thousands of cells stays until its end, and the collector would walk over it again and again.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> int:
        before = gc.get_threshold()
        gc.set_threshold(OBJECTS, *before[1:])
        try:
            return command(*args, **kwargs)
        finally:
            gc.set_threshold(*before)

    return run


def request_of(
    grid: str,
    dataset: str,
    budget: str | None,
    seeds: str,
    settings: list[str] | None,
    *,
    match_budget: bool = False,
) -> Request:
    """Return the request that the options make."""
    return expand(
        load_grid(grid),
        dataset=dataset,
        budget=budget,
        seeds=parse_seeds(seeds),
        settings=parse_settings(settings or []),
        match_budget=match_budget,
    )
