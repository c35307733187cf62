"""Running a plan: everything is checked and stored before the first cell starts, and only missing cells run."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from dfkd.data import ImageSet, dataset_spec
from dfkd.evaluation import load_test_images, load_training_images, load_validation_images
from dfkd.models import build_classifier
from dfkd.models.auxiliary import build_auxiliary
from dfkd.overrides import flatten
from dfkd.teacher import Teacher, load_teacher
from harness.cells import prepare_cell
from harness.engines import engine_sentences
from harness.failures import attempts, release
from harness.inputs import EAGER, Execution, Where, slow_arithmetic, teacher_command, teacher_name
from harness.live import driving, plans_of_others
from harness.mirror import Mirror, default_uri
from harness.passes import passes_of
from harness.plan import Cell, Request, make_plan
from harness.progress import ProgressView
from harness.records import Plan, write_plan
from harness.room import Room
from harness.rounds import Rounds
from harness.shape import shape_of
from harness.store import Store
from harness.watch import Watch

RETRIES = 2
"""How often a cell is tried again, unless the command says otherwise."""


@dataclass(frozen=True)
class Prepared:
    """A plan whose teacher and images have been found and checked."""

    plan: Plan
    cells: Mapping[str, Cell]
    teacher: Teacher | None
    teacher_path: Path
    teacher_command: str


def prepare(
    request: Request, *, store: Store, data_root: Path | None, teacher: Path | None, teacher_needed: bool, cache: bool
) -> Prepared:
    """Return the plan of ``request`` with the identity of every cell.

    Without its teacher a plan can be shown but not run: unless ``teacher_needed``, a missing one is taken as not
    trained yet, and no cell is done.

    Raises:
        UserError: images or teacher are missing, damaged or unsuitable, or two networks do not fit together.
    """
    images = store.cache if cache else None
    test = load_test_images(request.base.data, root=data_root, cache=images)
    if request.base.data.validation_fraction > 0:
        load_validation_images(request.base.data, root=data_root, cache=images)
    path = teacher or store.teacher(teacher_name(request.base))
    command = teacher_command(request.base, request.settings, store=store.root, data_root=data_root)
    loaded = None
    if path.exists() or teacher_needed or teacher is not None:
        way_out = "Name another with `--teacher`." if teacher else f"Train it with: {command}"
        loaded = load_teacher(request.base, path, class_names=test.class_names, way_out=way_out)
        _check_networks(request, loaded)
    plan, cells = make_plan(
        request,
        teacher_hash=loaded.hash if loaded else "not trained yet",
        named=teacher is not None,
        test_fingerprint=test.fingerprint,
        train_fingerprint=_train_fingerprint(request, data_root, images),
        context=_context(request, loaded, test),
    )
    return Prepared(plan, cells, loaded, path, command)


def _train_fingerprint(request: Request, data_root: Path | None, cache: Path | None) -> str | None:
    """Return the training images' fingerprint if a row learns from them; they are decoded to be checked."""
    if not any(config.learns_from_real_images for config in request.rows.values()):
        return None
    return load_training_images(request.base.data, root=data_root, cache=cache).fingerprint


def _check_networks(request: Request, teacher: Teacher) -> None:
    """Build each row's student once, on the CPU, so that what does not fit is known before anything runs."""
    shapes = {shape_of(flatten(config)): config for config in request.rows.values()}  # alike in everything that counts
    with torch.no_grad():
        for config in shapes.values():
            student = build_classifier(
                config.student.architecture,
                classes=len(teacher.class_names),
                image_size=config.data.image_size,
                seed=0,
                role="student",
            )
            if not config.learns_from_real_images:
                build_auxiliary(config, teacher=teacher.classifier, student=student, pretrained=teacher.attention)


def _context(request: Request, teacher: Teacher | None, test: ImageSet) -> dict[str, Any]:
    base = request.base
    students = {config.student.architecture for config in request.rows.values()}
    epochs = {config.schedule.epochs for config in request.rows.values()}
    return {
        "dataset": dataset_spec(base.data.dataset).title,
        "classes": len(test.class_names),
        "image_size": base.data.image_size,
        "teacher": base.teacher.architecture,
        "teacher_accuracy": teacher.test_accuracy if teacher else None,
        "teacher_hash": teacher.hash if teacher else None,
        "teacher_origin": teacher.origin if teacher else None,
        "student": students.pop() if len(students) == 1 else "by row",
        "budget": request.budget,
        "epochs": epochs.pop() if len(epochs) == 1 else "by row",
        "settings": dict(request.settings),
        **({"matched_passes": passes_of(request.rows[request.grid.reference])} if request.match_budget else {}),
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
    from harness.executors import EXECUTORS  # here, because Ray takes seconds to import

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
    where = Where(store.root, data_root, prepared.teacher_path.resolve(), device, threads, execution)
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
