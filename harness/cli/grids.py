"""``dfkd plan`` and ``dfkd ablate``: grids of cells."""

import json
import shlex
import sys
from dataclasses import replace
from typing import Annotated, Any

import typer
from rich.console import Console

from harness.cli.execution import Executor, join_cluster, room_of
from harness.cli.options import (
    DEFAULT_DATASET,
    DEFAULT_SEEDS,
    DEFAULT_STORE,
    AddressOption,
    BudgetHoursOption,
    BudgetOption,
    CheckpointOption,
    CpusOption,
    DataRootOption,
    DatasetOption,
    DeviceOption,
    Engine,
    EngineOption,
    GpusOption,
    GridArgument,
    JsonOption,
    KeepNetworksOption,
    MatchOption,
    Pack,
    PackOption,
    PrecisionOption,
    ProbeOption,
    RetriesOption,
    SamplesOption,
    SeedsOption,
    SetOption,
    SlotsOption,
    Stale,
    StaleOption,
    StoreOption,
    TeacherOption,
    TrackingOption,
    errors,
    guarded,
    only_looks,
    request_of,
)
from harness.cli.outcome import conclude
from harness.cli.plan_table import print_plan
from harness.cli.precision import with_precision
from harness.cli.status import counts_sentence
from harness.records import Plan
from harness.staleness import code_counts, stale_cells
from harness.store import Snapshot, Store, counts, known_store, open_store

STALE_WORDS = {
    Stale.mark: "kept, and marked in tables; `--stale rerun` runs them again, `--stale keep` takes off the mark.",
    Stale.keep: "kept without a mark.",
    Stale.rerun: "run again; the former results are set aside, in the folder `former` of each cell.",
}


def _stale_sentence(number: int, policy: Stale) -> str:
    return f"{number} finished cells are stale, trained by code that has changed since: {STALE_WORDS[policy]}"


@guarded
@only_looks
def plan(
    grid: GridArgument,
    dataset: DatasetOption = DEFAULT_DATASET,
    data_root: DataRootOption = None,
    budget: BudgetOption = None,
    seeds: SeedsOption = DEFAULT_SEEDS,
    settings: SetOption = None,
    match_budget: MatchOption = False,
    precision: PrecisionOption = None,
    store: StoreOption = DEFAULT_STORE,
    teacher: TeacherOption = None,
    cpus_per_trial: CpusOption = 1,
    gpus_per_trial: GpusOption = None,
    device: DeviceOption = "auto",
    engine: EngineOption = Engine.eager,
    checkpoint_activations: CheckpointOption = False,
    slots: SlotsOption = None,
    probe: ProbeOption = False,
    as_json: JsonOption = False,
) -> int:
    """Show what a grid would run, what is done already, and the price of the rest. Starts nothing, writes nothing."""
    from harness.cli.price import price_json, price_plan, price_words
    from harness.driver import missing, prepare
    from harness.inputs import Execution

    settings = with_precision(
        settings, precision, dataset=dataset, budget=budget, device=device, threads=cpus_per_trial, store=store
    )
    request = request_of(grid, dataset, budget, seeds, settings, match_budget=match_budget)
    opened = Snapshot(known_store(store).root)
    prepared = prepare(request, store=opened, data_root=data_root, teacher=teacher, teacher_needed=probe, cache=False)
    totals = counts(opened, list(prepared.plan.ids))
    price = None
    if as_json or device != "auto" or missing(opened, prepared.plan.ids):  # a device is looked for with PyTorch
        price = price_plan(
            prepared,
            opened,
            device=device,
            cpus_per_trial=cpus_per_trial,
            gpus_per_trial=gpus_per_trial,
            slots=slots,
            probe=probe,
            data_root=data_root,
            execution=Execution(engine.value, checkpoint_activations),
        )
    if as_json:
        assert price is not None
        content = _plan_json(prepared.plan, opened, totals) | {"price": price_json(prepared.plan, price, opened)}
        content |= code_counts(opened.root, prepared.plan.ids)
        print(json.dumps(content, indent=1))
    else:
        print_plan(prepared.plan, opened, totals)
        print(price_words(prepared.plan, price, opened))
        if words := request.passes_words:
            print(words if match_budget else f"{words} `--match-budget` makes them alike.")
        if former := stale_cells(opened.root, prepared.plan.ids, opened.files):
            print(_stale_sentence(len(former), Stale.mark))
    untrained = [inputs.teacher_command for inputs in prepared.inputs.values() if inputs.teacher is None]
    if len(prepared.inputs) == 1 and untrained:
        errors.print(f"The teacher is not trained yet. Train it with: {untrained[0]}", markup=False)
    elif untrained:
        errors.print(f"{len(untrained)} of {len(prepared.inputs)} teachers are not trained yet. Train them with:")
        errors.print("\n".join(f"  {command}" for command in untrained), markup=False)
    return 0


def _plan_json(plan: Plan, store: Store, totals: dict[str, int]) -> dict[str, Any]:
    cells = [
        {"row": cell.row, "seed": cell.seed, "cell": cell.id, "status": store.read(cell.id).status}
        for cell in plan.cells
    ]
    return {**totals, "grid": plan.grid, "rows": list(plan.rows), "seeds": list(plan.seeds), "planned": cells} | {
        "context": dict(plan.context)
    }


@guarded
def ablate(
    grid: GridArgument,
    dataset: DatasetOption = DEFAULT_DATASET,
    data_root: DataRootOption = None,
    budget: BudgetOption = None,
    seeds: SeedsOption = DEFAULT_SEEDS,
    settings: SetOption = None,
    match_budget: MatchOption = False,
    precision: PrecisionOption = None,
    store: StoreOption = DEFAULT_STORE,
    teacher: TeacherOption = None,
    executor: Annotated[
        Executor, typer.Option("--executor", help="Ray Tune, or one cell after the other here.")
    ] = Executor.ray,
    cpus_per_trial: CpusOption = 1,
    gpus_per_trial: GpusOption = None,
    tracking_uri: TrackingOption = None,
    device: DeviceOption = "auto",
    engine: EngineOption = Engine.eager,
    checkpoint_activations: CheckpointOption = False,
    keep_networks: KeepNetworksOption = False,
    samples_every: SamplesOption = None,
    budget_hours: BudgetHoursOption = None,
    stale: StaleOption = Stale.mark,
    address: AddressOption = None,
    retries: RetriesOption = 2,
    pack: PackOption = Pack.none,
    mlflow_checkpoints: Annotated[
        bool, typer.Option("--mlflow-checkpoints", help="Also write each finished student's weights to MLflow.")
    ] = False,
    released: Annotated[
        bool, typer.Option("--release", help="Try quarantined cells again, as if they had never failed.")
    ] = False,
) -> int:
    """Run the missing cells of a grid, all rows at the first seed first. Run again to resume."""
    from harness.cli.pack import check_pack, packed
    from harness.cli.price import check_budget, cut_plan
    from harness.driver import missing, prepare, run_plan
    from harness.engines import check_execution
    from harness.inputs import Execution

    check_budget(budget_hours)
    settings = with_precision(
        settings, precision, dataset=dataset, budget=budget, device=device, threads=cpus_per_trial, store=store
    )
    request = request_of(grid, dataset, budget, seeds, settings, match_budget=match_budget)
    check_pack(pack, address=address, executor=executor)
    chosen = join_cluster(address, executor, device)
    execution = Execution(engine.value, checkpoint_activations, keep_networks, samples_every)
    check_execution(execution, chosen)
    opened = open_store(store)
    prepared = prepare(request, store=opened, data_root=data_root, teacher=teacher, teacher_needed=True, cache=True)
    totals = counts(opened, list(prepared.plan.ids))
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{prepared.plan.title} ({prepared.plan.grid}): {counts_sentence(totals)}")
    if not match_budget and (words := request.passes_words):
        console.print(f"{words} `--match-budget` makes them alike.", markup=False)
    former = stale_cells(opened.root, prepared.plan.ids)
    if former:
        console.print(_stale_sentence(len(former), stale), markup=False)
    anew = former if stale == Stale.rerun else ()
    prepared = replace(prepared, plan=replace(prepared.plan, context={**prepared.plan.context, "stale": stale.value}))
    cut = None
    if budget_hours is not None:
        cut = cut_plan(
            prepared,
            opened,
            budget_hours=budget_hours,
            device=device,
            cpus_per_trial=cpus_per_trial,
            gpus_per_trial=gpus_per_trial,
            data_root=data_root,
            execution=execution,
            anew=anew,
        )
        console.print(cut.before(), markup=False)
    left_out = cut.left_out if cut else ()
    room = room_of(chosen, cpus_per_trial, gpus_per_trial, address=address)
    if pack == Pack.auto:
        todo = [prepared.cells[cell_id] for cell_id in missing(opened, prepared.plan.running_order)]
        room = packed(room, todo, prepared, opened, data_root=data_root, device=chosen, console=console)
    try:
        run_plan(
            prepared,
            store=opened,
            data_root=data_root.resolve() if data_root else None,
            device=chosen,
            executor=executor,
            room=room,
            tracking_uri=tracking_uri,
            console=console,
            execution=execution,
            left_out=left_out,
            anew=anew,
            retries=retries,
            released=released,
            mirror_checkpoints=mlflow_checkpoints,
        )
    except KeyboardInterrupt:
        totals = counts(opened, list(prepared.plan.ids))
        console.print(
            f"\nStopped: {totals['done']} of {totals['cells']} cells are done, and each unfinished one goes on from "
            f"its last whole epoch. Resume with the same command:\n  {shlex.join(['dfkd', *sys.argv[1:]])}",
            soft_wrap=True,
            markup=False,
        )
        return 130
    exit_status = conclude(prepared.plan, opened, console, left_out=left_out)
    if cut:
        console.print(cut.after(), markup=False)
    return exit_status
