"""``dfkd distill``: one run, in this process."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from harness.cli.options import (
    DEFAULT_DATASET,
    DEFAULT_STORE,
    BudgetOption,
    CheckpointOption,
    CpusOption,
    DataRootOption,
    DatasetOption,
    DeviceOption,
    Engine,
    EngineOption,
    KeepNetworksOption,
    PrecisionOption,
    SamplesOption,
    SetOption,
    StoreOption,
    TeacherOption,
    TrackingOption,
    guarded,
)
from harness.cli.outcome import conclude
from harness.cli.precision import with_precision
from harness.layers import parse_settings
from harness.plan import expand
from harness.room import Room
from harness.store import open_store
from search_spaces import GridFile, Row

ONE_RUN = GridFile("distill", Path("the command line"), "One run", "run", {}, (Row("run", {}),))


@guarded
def distill(
    dataset: DatasetOption = DEFAULT_DATASET,
    settings: SetOption = None,
    precision: PrecisionOption = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The run's seed.")] = 0,
    store: StoreOption = DEFAULT_STORE,
    data_root: DataRootOption = None,
    budget: BudgetOption = None,
    teacher: TeacherOption = None,
    cpus: CpusOption = 1,
    tracking_uri: TrackingOption = None,
    device: DeviceOption = "auto",
    engine: EngineOption = Engine.eager,
    checkpoint_activations: CheckpointOption = False,
    keep_networks: KeepNetworksOption = False,
    samples_every: SamplesOption = None,
) -> int:
    """Distill one student in this process, without Ray. A grid that asks for the same run will find it done."""
    from harness.devices import pick_device
    from harness.driver import prepare, run_plan
    from harness.engines import check_execution
    from harness.inputs import Execution

    settings = with_precision(
        settings, precision, dataset=dataset, budget=budget, device=device, threads=cpus, store=store
    )
    request = expand(ONE_RUN, dataset=dataset, budget=budget, seeds=(seed,), settings=parse_settings(settings or []))
    chosen = pick_device(device)
    execution = Execution(engine.value, checkpoint_activations, keep_networks, samples_every)
    check_execution(execution, chosen)
    opened = open_store(store)
    prepared = prepare(request, store=opened, data_root=data_root, teacher=teacher, teacher_needed=True, cache=True)
    console = Console(highlight=False, soft_wrap=True)
    run_plan(
        prepared,
        store=opened,
        data_root=data_root.resolve() if data_root else None,
        device=chosen,
        executor="local",
        room=Room(cpus, 0),
        tracking_uri=tracking_uri,
        console=console,
        execution=execution,
        each_epoch=True,
        retries=0,
        released=True,
    )
    exit_status = conclude(prepared.plan, opened, console)
    record = opened.read(prepared.plan.ids[0])
    if record.result is not None:
        console.print(accuracy_words(record.result, teacher=prepared.plan.context["teacher_accuracy"]))
        console.print(opened.cell(record.id), soft_wrap=True)
    return exit_status


def accuracy_words(result: Mapping[str, Any], *, teacher: float) -> str:
    """Return the accuracies of a result in words, one a line; ``teacher`` is its teacher's, a fraction as they are."""
    lines = [f"Test accuracy {100 * result['last']:.2f} % after the last epoch (teacher {100 * teacher:.2f} %)"]
    if result["final_epochs"] > 1:
        mean, sd = 100 * result["final_mean"], 100 * result["final_sd"]
        lines.append(f"  over the final {result['final_epochs']} epochs: mean {mean:.2f} %, sd (n - 1) {sd:.2f}")
    best, epoch = 100 * result["best_on_test"], result["best_epoch"]
    lines.append(f"  best on test: {best:.2f} % after epoch {epoch}, chosen on the test split (oracle)")
    return "\n".join(lines)
