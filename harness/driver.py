"""Running a plan: everything is checked and stored before the first cell starts, and only missing cells run."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from dfkd.config import DataConfig, RunConfig, TeacherConfig
from harness.failures import attempts, release
from harness.fitting import check_networks
from harness.inputs import EAGER, Execution, Inputs, Where, find_inputs
from harness.live import driving, plans_of_others
from harness.mirror import Mirror, default_uri
from harness.passes import passes_of
from harness.plan import BY_ROW, Cell, Column, Files, Request, make_plan
from harness.progress import ProgressView
from harness.records import Plan, write_plan
from harness.room import Room
from harness.rounds import Rounds
from harness.store import Store
from harness.watch import Watch

RETRIES = 2
"""How often a cell is tried again, unless the command says otherwise."""


@dataclass(frozen=True)
class Prepared:
    """A plan whose teachers and images have been found and checked."""

    plan: Plan
    cells: Mapping[str, Cell]
    inputs: Mapping[tuple[DataConfig, TeacherConfig], Inputs]
    """By what a configuration says of images and teacher."""

    def inputs_of(self, config: RunConfig) -> Inputs:
        """Return images and teacher of a row of the plan."""
        return self.inputs[config.data, config.teacher]

    @property
    def teachers(self) -> dict[tuple[str, DataConfig], Path]:
        """Return the places of the teachers, as ``Where`` has them."""
        return {
            (found.facts.teacher.hash, data): found.teacher_path.resolve()
            for (data, _), found in self.inputs.items()
            if found.facts.teacher
        }


def prepare(
    request: Request, *, store: Store, data_root: Path | None, teacher: Path | None, teacher_needed: bool, cache: bool
) -> Prepared:
    """Return the plan of ``request`` with the identity of every cell.

    Without its teacher a plan can be shown but not run: unless ``teacher_needed``, a missing one is taken as not
    trained yet, and no cell is done. Networks are built, and checked, of rows with cells to do; a teacher that is not
    trained yet has its initial weights there.

    Raises:
        UserError: images or a teacher are missing, damaged or unsuitable, or two networks do not fit together.
    """
    found = find_inputs(
        request, store=store, data_root=data_root, teacher=teacher, teacher_needed=teacher_needed, cache=cache
    )
    columns = list(zip(request.columns, found, strict=True))
    files = {
        name: Files(
            inputs.facts.teacher.hash if inputs.facts.teacher else "not trained yet",
            inputs.facts.test_fingerprint,
            inputs.facts.train_fingerprint,
        )
        for column, inputs in columns
        for name in column.rows.values()
    }
    plan, cells = make_plan(request, files=files, named=teacher is not None, context=_context(request, columns))
    to_do = {cell.row for cell in plan.cells if not store.read(cell.id).ended}
    for column, inputs in columns:
        rows = [request.rows[name] for name in column.rows.values() if name in to_do]
        if rows:
            check_networks(rows, inputs.teacher, classes=len(inputs.facts.class_names))
    return Prepared(plan, cells, {(column.config.data, column.config.teacher): inputs for column, inputs in columns})


def _context(request: Request, columns: Sequence[tuple[Column, Inputs]]) -> dict[str, Any]:
    """Return what a caption needs: of all rows and, where they have several columns, of each by itself."""
    facts = [_facts(request, column, inputs) for column, inputs in columns]
    shared = {"budget": request.budget, "settings": dict(request.settings)}
    if len(facts) == 1:
        return {**facts[0], **shared}
    each = [
        {
            **about,
            "named": column.named,
            "reference": column.reference,
            "rows": [list(row) for row in column.rows.items()],
        }
        for (column, _), about in zip(columns, facts, strict=True)
    ]
    alike = {key: _shared([about.get(key) for about in facts], BY_ROW) for key in ("student", "epochs")}
    titles = dict.fromkeys(about["dataset"] for about in facts)
    return {"dataset": ", ".join(titles), **alike, **shared, "columns": each}


def _shared(values: Sequence[Any], otherwise: Any) -> Any:
    """Return the one value that all ``values`` are."""
    return values[0] if all(value == values[0] for value in values) else otherwise


def _facts(request: Request, column: Column, inputs: Inputs) -> dict[str, Any]:
    """Return what the rows of a column share."""
    rows, facts = [request.rows[name] for name in column.rows.values()], inputs.facts
    data, teacher = column.config.data, facts.teacher
    return {
        "dataset": facts.title,
        "classes": len(facts.class_names),
        "image_size": data.image_size,
        "teacher": column.config.teacher.architecture,
        "teacher_accuracy": teacher.test_accuracy if teacher else None,
        "teacher_hash": teacher.hash if teacher else None,
        "teacher_origin": teacher.origin if teacher else None,
        "student": _shared([config.student.architecture for config in rows], BY_ROW),
        "epochs": _shared([config.schedule.epochs for config in rows], BY_ROW),
        **({"matched_passes": passes_of(request.rows[column.rows[column.reference]])} if request.match_budget else {}),
    }


def missing(store: Store, ids: Sequence[str], anew: Collection[str] = ()) -> list[str]:
    """Return the cells that have no result or are to run ``anew``, in order."""
    return [cell_id for cell_id in ids if cell_id in anew or not store.read(cell_id).ended]


def run_plan(
    prepared: Prepared,
    *,
    store: Store,
    data_root: Path | None,
    device: str,
    executor: str,
    room: Room,
    tracking_uri: str | None,
    console: Console,
    execution: Execution = EAGER,
    each_epoch: bool = False,
    left_out: Collection[str] = (),
    anew: Collection[str] = (),
    retries: int = RETRIES,
    released: bool = False,
    mirror_checkpoints: bool = False,
) -> None:
    """Store the plan, run its missing cells but those ``left_out``, seed by seed, and mirror all of them to MLflow.

    Cells that are to run ``anew`` are done; their results are set aside in their folders. A cell that fails more than
    ``retries`` times, in this or former calls, is quarantined, which means left alone until it is ``released``.

    What became of each cell is in the store. KeyboardInterrupt passes through, after the workers have stopped.
    """
    from harness.cells import prepare_cell  # these here, because PyTorch and Ray take seconds to import
    from harness.devices import slow_arithmetic
    from harness.engines import engine_sentences
    from harness.executors import EXECUTORS

    plan = prepared.plan
    for cell in prepared.cells.values():
        prepare_cell(store, cell)
    write_plan(store.root, plan)
    todo = [cell_id for cell_id in missing(store, plan.running_order, anew) if cell_id not in left_out]
    for cell_id in todo:
        if cell_id in anew:
            store.set_aside(cell_id)
        if released:
            release(store, cell_id)
    todo = [cell_id for cell_id in todo if attempts(store, cell_id) <= retries]
    warnings = {slow_arithmetic(prepared.cells[cell_id].config, device) for cell_id in todo} - {None}
    for warning in warnings:
        console.print(f"[yellow]{warning}[/yellow]")
    threads = max(1, int(room.cpus))
    where = Where(store.root, data_root, prepared.teachers, device, threads, execution)
    epochs = {cell_id: cell.config.schedule.epochs for cell_id, cell in prepared.cells.items()}
    view = ProgressView(plan, todo, epochs=epochs, store=store, console=console, each_epoch=each_epoch)
    rounds = Rounds(
        store,
        where,
        room,
        execute=EXECUTORS[executor],
        retries=retries,
        say=lambda text: console.print(text, markup=False),
    )
    uri = tracking_uri or default_uri(store)
    watch = Watch(
        lambda: plan,
        view=view,
        open_mirror=lambda: Mirror.hold(uri, store, checkpoints=mirror_checkpoints),
        others=lambda: plans_of_others(store, uri),
    )
    with driving(store, plan=plan.key, tracking_uri=uri), watch:
        rounds.run(todo)
    for sentence in engine_sentences(store, todo):
        console.print(sentence, markup=False)
    if watch.mirror_error:
        console.print(
            f"[yellow]MLflow was not written: {watch.mirror_error}[/yellow]\n"
            f"The results are safe in {store.root}; the same command mirrors them once MLflow can be reached."
        )
