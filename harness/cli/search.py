"""``dfkd search``: an Optuna study whose trials are cells of the store."""

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from dfkd.errors import ConfigError
from harness.cli.grids import Executor, join_cluster, room_of
from harness.cli.options import (
    DEFAULT_DATASET,
    DEFAULT_STORE,
    AddressOption,
    BudgetOption,
    CheckpointOption,
    CpusOption,
    DataRootOption,
    DatasetOption,
    DeviceOption,
    Engine,
    EngineOption,
    GpusOption,
    SetOption,
    StoreOption,
    TeacherOption,
    TrackingOption,
    errors,
    guarded,
)
from harness.plan import parse_settings
from harness.store import open_store
from search_spaces import load_space

if TYPE_CHECKING:
    from harness.search.run import PreparedSearch
    from harness.search.study import Study


class Sampler(StrEnum):
    """Names of the ways to suggest."""

    tpe = "tpe"
    gp = "gp"
    nsga2 = "nsga2"
    qmc = "qmc"
    random = "random"


@guarded
def search(
    space: Annotated[
        str, typer.Argument(metavar="SPACE", help="A built-in space (`dfkd spaces`) or a TOML file: what may change.")
    ],
    trials: Annotated[int, typer.Option("--trials", min=1, help="Trials of the whole study, earlier ones included.")],
    dataset: DatasetOption = DEFAULT_DATASET,
    data_root: DataRootOption = None,
    budget: BudgetOption = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of every trial's run, and of the suggestions.")] = 0,
    settings: SetOption = None,
    objectives: Annotated[
        str,
        typer.Option(
            "--objectives",
            help="What to make great: accuracy (on validation images), agreement (needs no real image), "
            "images_per_second; several with commas.",
        ),
    ] = "accuracy",
    sampler: Annotated[Sampler, typer.Option("--sampler", help="Who suggests.")] = Sampler.tpe,
    patience: Annotated[
        int | None,
        typer.Option("--patience", min=1, help="Stop when so many trials brought less than the noise of a seed."),
    ] = None,
    noise: Annotated[
        float | None,
        typer.Option("--noise", min=0, help="That noise, a standard deviation; by default measured in the store."),
    ] = None,
    time_budget: Annotated[
        float | None, typer.Option("--time-budget", min=0, metavar="HOURS", help="Start no trial after so many hours.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    teacher: TeacherOption = None,
    executor: Annotated[
        Executor, typer.Option("--executor", help="Ray Tune, or one trial after the other here.")
    ] = Executor.ray,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Trials at a time; by default as many as there is room for.")
    ] = None,
    cpus_per_trial: CpusOption = 1,
    gpus_per_trial: GpusOption = None,
    tracking_uri: TrackingOption = None,
    device: DeviceOption = "auto",
    address: AddressOption = None,
    engine: EngineOption = Engine.eager,
    checkpoint_activations: CheckpointOption = False,
) -> int:
    """Search a space for the best settings, without a look at the test split. Run again to resume."""
    from harness.engines import check_execution
    from harness.inputs import Execution
    from harness.search.loop import Limits
    from harness.search.objectives import parse_objectives
    from harness.search.run import deadline, noise_of, prepare_search, run_search

    if noise is not None and patience is None:
        raise ConfigError(f"`--noise` must go with `--patience`, but there is only `--noise {noise}`. Leave it out.")
    loaded, wanted = load_space(space), parse_objectives(objectives)
    chosen = join_cluster(address, executor, device)
    execution = Execution(engine.value, checkpoint_activations)
    check_execution(execution, chosen)
    opened = open_store(store)
    root = data_root.resolve() if data_root else None
    asked = prepare_search(
        loaded,
        dataset=dataset,
        budget=budget,
        seed=seed,
        settings=parse_settings(settings or []),
        objectives=wanted,
        store=opened,
        data_root=root,
        teacher=teacher,
    )
    moved = noise_of(asked, opened, patience=patience, noise=noise)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{loaded.title} ({loaded.name}): {trials} trials on {', '.join(each.title for each in wanted)}")
    try:
        study, stopped = run_search(
            asked,
            store=opened,
            data_root=root,
            limits=Limits(trials, patience, moved, deadline(time_budget)),
            sampler=sampler,
            device=chosen,
            executor=executor,
            room=room_of(chosen, cpus_per_trial, gpus_per_trial, workers=workers, address=address),
            tracking_uri=tracking_uri,
            console=console,
            execution=execution,
        )
    except KeyboardInterrupt:
        console.print(
            "\nStopped: the trials that were under way go on from their last whole epoch. Resume with the same "
            f"command:\n  {shlex.join(['dfkd', *sys.argv[1:]])}",
            markup=False,
        )
        return 130
    if stopped:
        console.print(f"Stopped early: {stopped}.", markup=False)
    return _conclude(asked, study, folder=opened.root / "studies" / asked.name, console=console)


def _conclude(asked: "PreparedSearch", study: "Study", *, folder: Path, console: Console) -> int:
    """Print what came out; return the exit status."""
    from harness.search.conclude import best_trials, count_trials, write_best_grid
    from harness.search.view import show_point, show_values

    console.print(f"{count_trials(study)}, in {folder}", markup=False)
    best = best_trials(study.trials)
    if not best:
        errors.print("No trial has a value, so there is no best one. `dfkd status` lists the errors.", markup=False)
        return 1
    start = asked.points.point_of(asked.points.base)
    for trial in [trial for trial in study.trials if trial.values and trial.params == start][:1]:
        console.print(f"As it is: {show_values(trial.values, asked.objectives)}  {show_point(trial.params)}")
    for trial in best if len(asked.objectives) > 1 else best[:1]:
        origin = f"trial {trial.user_attrs['index']}" if "index" in trial.user_attrs else "a cell that was there before"
        console.print(f"Best: {show_values(trial.values, asked.objectives)}  {origin}, cell {trial.user_attrs['cell']}")
        sets = " ".join(f"--set {shlex.quote(f'{key}={value}')}" for key, value in trial.params.items())
        console.print(f"  as a grid's or a run's settings: {sets}", markup=False)
    write_best_grid(folder / "best.toml", asked.points.space, study.trials)
    console.print(
        "On other seeds, which tell how much of the gain is left: dfkd ablate, then dfkd report, of the grid\n"
        f"  {folder / 'best.toml'}",
        markup=False,
    )
    return 0
