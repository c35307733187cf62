"""What every cell of a plan needs besides its configuration: test images and a teacher, checked before any runs."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfkd.config import DataConfig, RunConfig
from dfkd.errors import CheckpointError, ConfigError
from dfkd.overrides import changed
from harness.input_notes import Facts, TeacherFacts, note, noted
from harness.plan import Request, digest
from harness.store import Store

if TYPE_CHECKING:
    from dfkd.teacher import Teacher, TeacherFile


@dataclass(frozen=True)
class Execution:
    """How a cell's steps are run, and what of it is kept. It moves last digits at most."""

    engine: str = "eager"
    """``auto``, or one of ``dfkd.engines.ENGINES``."""
    checkpoint_activations: bool = False
    """Whether the generator's step computes activations twice instead of keeping them: less memory, the same bits."""
    keep_networks: bool = False
    """Whether a finished cell keeps the generator and the auxiliary modules beside its student."""
    samples_every: int | None = None
    """Epochs between the pictures of samples that are kept on the way; 0: none; None: a tenth of the run."""


EAGER = Execution()


@dataclass(frozen=True)
class Where:
    """Where cells run: nothing in here can change a result's identity. Travels to the workers."""

    store: Path
    data_root: Path | None
    teachers: Mapping[tuple[str, DataConfig], Path]
    """Checkpoints, by the hash of their weights and what they tell apart."""
    device: str
    threads: int
    execution: Execution = EAGER


def teacher_name(config: RunConfig) -> str:
    """Return the readable name under which a recipe's teacher is stored: data, size, architecture, seed and a hash."""
    recipe = changed(config, ("data.", "teacher."))
    classes = config.data.classes if len(config.data.classes) <= 12 else "list"
    parts = (config.data.dataset, classes.replace(":", "").replace(",", "_"), f"{config.data.image_size}px")
    return "-".join((*parts, config.teacher.architecture, f"s{config.teacher.seed}", digest(recipe)[:8]))


def teacher_command(config: RunConfig, settings: Mapping[str, Any], *, store: Path, data_root: Path | None) -> str:
    """Return the command line that trains the teacher of ``config``, which was made with ``settings``."""
    sets = [
        f"--set {shlex.quote(f'{key}={value}')}"
        for key, value in settings.items()
        if key.startswith(("data.", "teacher.", "compute.")) and key != "data.dataset"
    ]
    root = [f"--data-root {shlex.quote(str(data_root))}"] if data_root else []
    return " ".join(["dfkd teacher", config.data.dataset, *root, *sets, f"--store {shlex.quote(str(store))}"])


@dataclass(frozen=True)
class FoundTeacher:
    """A teacher's checkpoint, found and checked; its network is not built yet."""

    facts: TeacherFacts
    read: "Callable[[], TeacherFile]" = field(repr=False, compare=False)
    """Returns the checkpoint; raises CheckpointError if it is not good any more."""

    def build(self) -> "Teacher":
        """Return the teacher, on the CPU."""
        return self.read().build()


@dataclass(frozen=True)
class Inputs:
    """Images and teacher of a column of a grid, found and checked."""

    facts: Facts
    teacher: FoundTeacher | None
    """None if it is not trained yet."""
    teacher_path: Path
    teacher_command: str
    """What trains it."""


def find_inputs(
    request: Request, *, store: Store, data_root: Path | None, teacher: Path | None, teacher_needed: bool, cache: bool
) -> tuple[Inputs, ...]:
    """Return the inputs of each column of ``request``, in its order; ``teacher`` is a file that the user named.

    Where there are several columns and teachers are needed, all that are missing are named before any image is read.
    With ``cache`` everything is loaded and checked, and what was found is kept in the store; without, nothing is
    written, and what was kept is taken as long as neither images nor teacher have changed (``harness.input_notes``).

    Raises:
        UserError: images or a teacher are missing, damaged or unsuitable.
    """
    columns = request.columns
    if teacher is not None and len(columns) > 1:
        asked = "; ".join(teacher_name(column.config) for column in columns)
        raise ConfigError(
            f"`--teacher` must go with a grid whose rows share images and teacher, but {request.grid.path} needs "
            f"{len(columns)} teachers: {asked}. Leave it out, and bring each with `dfkd teacher DATASET --checkpoint "
            "FILE`."
        )
    paths = [teacher or store.teacher(teacher_name(column.config)) for column in columns]
    commands = [
        teacher_command(column.config, column.overrides, store=store.root, data_root=data_root) for column in columns
    ]
    missing = [command for path, command in zip(paths, commands, strict=True) if not path.exists()]
    if teacher_needed and missing and len(columns) > 1:
        listed = "\n".join(f"  {command}" for command in missing)
        raise CheckpointError(
            f"Every teacher of {request.grid.path} must be trained before its students, but {len(missing)} of "
            f"{len(columns)} are not in {store.root}. Train them with:\n{listed}"
        )
    return tuple(
        _column_inputs(
            [request.rows[name] for name in column.rows.values()],
            path,
            command,
            store=store,
            data_root=data_root,
            cache=cache,
            needed=teacher_needed,
            named=teacher is not None,
        )
        for column, path, command in zip(columns, paths, commands, strict=True)
    )


def _column_inputs(
    rows: Sequence[RunConfig],
    path: Path,
    command: str,
    *,
    store: Store,
    data_root: Path | None,
    cache: bool,
    needed: bool,
    named: bool,
) -> Inputs:
    way_out = "Name another with `--teacher`." if named else f"Train it with: {command}"
    known = None if cache else noted(rows, path, store=store, data_root=data_root)
    if known and known.teacher:
        read = partial(_read, rows[0], path, class_names=known.class_names, way_out=way_out)
        return Inputs(known, FoundTeacher(known.teacher, read), path, command)
    wanted, images = needed or named or path.exists(), store.cache if cache else None
    facts, checked = _look(rows, path if wanted else None, data_root=data_root, images=images, way_out=way_out)
    if cache:
        note(facts, rows, path, store=store, data_root=data_root)
    teacher = FoundTeacher(facts.teacher, lambda: checked) if facts.teacher and checked else None
    return Inputs(facts, teacher, path, command)


def _read(config: RunConfig, path: Path, *, class_names: tuple[str, ...], way_out: str) -> "TeacherFile":
    from dfkd.teacher import read_teacher  # here, because PyTorch takes a second to import

    return read_teacher(config, path, class_names=class_names, way_out=way_out)


def _look(
    rows: Sequence[RunConfig], path: Path | None, *, data_root: Path | None, images: Path | None, way_out: str
) -> "tuple[Facts, TeacherFile | None]":
    """Return what is to be known of a column's images and of the teacher in ``path``, if any, and its checkpoint.

    All images that its rows need are decoded, to be checked.
    """
    from dfkd.data import dataset_spec  # these here, because PyTorch takes a second to import
    from dfkd.evaluation import load_test_images, load_training_images, load_validation_images

    config = rows[0]
    test = load_test_images(config.data, root=data_root, cache=images)
    if config.data.validation_fraction > 0:
        load_validation_images(config.data, root=data_root, cache=images)
    read = _read(config, path, class_names=test.class_names, way_out=way_out) if path else None
    train = None
    if any(row.learns_from_real_images for row in rows):
        train = load_training_images(config, root=data_root, cache=images).fingerprint
    teacher = TeacherFacts(read.hash, read.test_accuracy, read.origin) if read else None
    title = dataset_spec(config.data.dataset).title
    return Facts(title, test.class_names, test.fingerprint, train, teacher), read
