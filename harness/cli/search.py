"""``dfkd search``: an Optuna study whose trials are cells of the store."""

import shlex
import sys
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

from dfkd.errors import ConfigError
from harness.cli.conclusion import DEFAULT_BEST, conclude_search, confirm, hint_at_seeds
from harness.cli.execution import Executor, join_cluster, room_of
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
    MatchOption,
    Pack,
    PackOption,
    PrecisionOption,
    RetriesOption,
    SamplesOption,
    SetOption,
    StoreOption,
    TeacherOption,
    TrackingOption,
    guarded,
)
from harness.cli.precision import with_precision
from harness.cli.retune import retune
from harness.layers import parse_settings
from harness.plan import parse_seeds
from harness.store import open_store
from search_spaces import load_grid, load_space


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
    precision: PrecisionOption = None,
    match_budget: MatchOption = False,
    objectives: Annotated[
        str,
        typer.Option(
            "--objectives",
            help="What to make good: accuracy (on validation images), agreement (needs no real image), and beside one "
            "of these images_per_second (of the training) and parameters (of the student); several with commas.",
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
    asha: Annotated[
        bool,
        typer.Option(
            "--asha", help="Stop runs early that do badly beside the others (asynchronous successive halving)."
        ),
    ] = False,
    grace: Annotated[
        int | None,
        typer.Option(
            "--grace", min=1, metavar="EPOCHS", help="With `--asha`: what every run gets; by default a ninth."
        ),
    ] = None,
    time_budget: Annotated[
        float | None, typer.Option("--time-budget", min=0, metavar="HOURS", help="Start no trial after so many hours.")
    ] = None,
    warm_start_mlflow: Annotated[
        str | None,
        typer.Option(
            "--warm-start-mlflow",
            metavar="URI[#EXPERIMENT]",
            help="Begin also with finished runs of an MLflow experiment (`dfkd`, if not named) that lie in the space.",
        ),
    ] = None,
    ablate: Annotated[
        str | None,
        typer.Option(
            "--ablate",
            metavar="GRID",
            help="Search once for every row of a grid, losses_leave_one_out say, with what the row sets held fixed.",
        ),
    ] = None,
    then_confirm: Annotated[
        int | None,
        typer.Option(
            "--then-confirm",
            min=1,
            metavar="K",
            help="Then run the K best points, and the settings as they are, on fresh `--seeds`: is the gain left?",
        ),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option("--seeds", metavar="10,11,12", help="For `--then-confirm`: not the search's `--seed`.")
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
    samples_every: SamplesOption = None,
    retries: RetriesOption = 2,
    pack: PackOption = Pack.none,
) -> int:
    """Search a space for the best settings, without a look at the test split. Run again to resume."""
    from harness.cli.pack import check_pack, packed
    from harness.engines import check_execution
    from harness.inputs import Execution
    from harness.search.from_mlflow import read_mlflow
    from harness.search.halving import check_halving
    from harness.search.loop import Limits
    from harness.search.objectives import parse_objectives
    from harness.search.retune import prepare_ablation
    from harness.search.run import Runner, Task, deadline, noise_of, prepare_search, run_search

    if noise is not None and patience is None:
        raise ConfigError(f"`--noise` must go with `--patience`, but there is only `--noise {noise}`. Leave it out.")
    if grace is not None and not asha:
        raise ConfigError(f"`--grace` must go with `--asha`, but there is only `--grace {grace}`. Leave it out.")
    if ablate is not None:
        _check_ablation(patience, warm_start_mlflow, then_confirm, objectives, match_budget=match_budget)
    fresh = _fresh_seeds(then_confirm, seeds, seed)
    loaded, wanted = load_space(space), parse_objectives(objectives)
    check_pack(pack, address=address, executor=executor)
    chosen = join_cluster(address, executor, device)
    execution = Execution(engine.value, checkpoint_activations, samples_every=samples_every)
    check_execution(execution, chosen)
    grid = load_grid(ablate) if ablate is not None else None
    opened = open_store(store)
    root = data_root.resolve() if data_root else None
    settings = with_precision(
        settings, precision, dataset=dataset, budget=budget, device=device, threads=cpus_per_trial, store=store
    )
    task = Task(dataset, budget, seed, parse_settings(settings or []), root, teacher, match_budget)
    console = Console(highlight=False, soft_wrap=True)
    asked = prepare_search(loaded, task, objectives=wanted, store=opened)
    room = room_of(chosen, cpus_per_trial, gpus_per_trial, workers=workers, address=address)
    first = None
    if asha:
        first = check_halving(asked.points.base.schedule.epochs, grace, space=loaded, objectives=wanted)
    if pack == Pack.auto:
        ends = list(asked.prepared.cells.values())
        room = packed(room, ends, asked.prepared, opened, data_root=root, device=chosen, console=console)
    runner = Runner(
        executor=executor,
        device=chosen,
        room=room,
        tracking_uri=tracking_uri,
        console=console,
        execution=execution,
        retries=retries,
    )
    titles = ", ".join(each.title for each in wanted)
    try:
        if grid is not None:
            ablation = prepare_ablation(loaded, grid, task, objectives=wanted, store=opened)
            console.print(f"{ablation.title} ({loaded.name}, {grid.name}): {trials} trials a row on {titles}")
            limits = Limits(trials, deadline=deadline(time_budget))
            return retune(ablation, runner, store=opened, limits=limits, sampler=sampler, grace=first, seeds=fresh)
        moved = noise_of(asked, opened, patience=patience, noise=noise, kept=fresh)
        console.print(f"{loaded.title} ({loaded.name}): {trials} trials on {titles}")
        if asked.points.passes is not None:
            console.print(f"Every trial costs {asked.points.passes:,} passes of teacher and student, or nearly so.")
        taken = read_mlflow(warm_start_mlflow, asked.points, wanted) if warm_start_mlflow else None
        if taken:
            console.print(f"From MLflow: {taken.words}.", markup=False)
        study, stopped = run_search(
            asked,
            runner,
            store=opened,
            limits=Limits(trials, patience, moved, deadline(time_budget)),
            sampler=sampler,
            grace=first,
            known=taken.known if taken else (),
        )
        if stopped:
            console.print(f"Stopped early: {stopped}.", markup=False)
        best = conclude_search(asked, study, store=opened, console=console, count=then_confirm or DEFAULT_BEST)
        if best is None:
            return 1
        if then_confirm is not None:
            return confirm(asked, study, best, runner, store=opened, seeds=fresh)
    except KeyboardInterrupt:
        console.print(
            "\nStopped: what was under way goes on from its last whole epoch. Resume with the same "
            f"command:\n  {shlex.join(['dfkd', *sys.argv[1:]])}",
            markup=False,
        )
        return 130
    hint_at_seeds(opened.root / "studies" / asked.name / "best.toml", console, match_budget=match_budget)
    return 0


def _check_ablation(
    patience: int | None,
    warm_start_mlflow: str | None,
    then_confirm: int | None,
    objectives: str,
    *,
    match_budget: bool,
) -> None:
    """Raise ConfigError for what would make the searches of the rows unlike each other."""
    rule = "The searches of `--ablate` must be alike, so that their best can be compared, but"
    if patience is not None:
        raise ConfigError(f"{rule} `--patience {patience}` would make one longer than another. Leave it out.")
    if warm_start_mlflow is not None:
        raise ConfigError(f"{rule} `--warm-start-mlflow` would tell one more than another. Leave it out.")
    if then_confirm not in (None, 1):
        raise ConfigError(
            f"`--ablate` must confirm the one best of every row, but `--then-confirm {then_confirm}` was given. Write "
            "`--then-confirm 1`."
        )
    if match_budget:
        raise ConfigError(
            f"{rule} `--match-budget` would bring each to the cost of its own row, not of the others. Leave it out."
        )
    if "," in objectives:
        raise ConfigError(f"`--ablate` must have one objective, but `--objectives` is {objectives}.")


def _fresh_seeds(then_confirm: int | None, seeds: str | None, search_seed: int) -> tuple[int, ...]:
    """Return the seeds of the confirmation, none without one; raise ConfigError if they are not fresh."""
    from harness.search.confirm import check_fresh

    if (then_confirm is None) != (seeds is None):
        given, lacking = ("--seeds", "--then-confirm") if then_confirm is None else ("--then-confirm", "--seeds")
        raise ConfigError(
            f"`{given}` must go with `{lacking}`: `--then-confirm 3 --seeds 10,11,12` runs the three best points on "
            "three seeds that the search has not used. The search's own seed is `--seed`."
        )
    fresh = parse_seeds(seeds) if seeds is not None else ()
    check_fresh(fresh, search_seed)
    return fresh
