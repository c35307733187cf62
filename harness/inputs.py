"""What every cell of a plan needs besides its configuration: test images and a teacher, checked before any runs."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dfkd.config import DataConfig, RunConfig, parse_orders
from dfkd.data import ImageSet, TrainingImages
from dfkd.errors import CheckpointError, ConfigError
from dfkd.evaluation import load_test_images, load_training_images, load_validation_images
from dfkd.models import Classifier
from dfkd.models.high_order import HighOrderAttention, StageAttention
from dfkd.overrides import changed, flatten
from dfkd.teacher import Teacher, TeacherFile, load_teacher, read_teacher
from harness.plan import Request, digest
from harness.shape import shape_of
from harness.store import Store


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


def pick_device(name: str) -> str:
    """Return ``cuda`` or ``cpu`` for ``auto``, or ``name`` itself if there is such a device here.

    Raises:
        ConfigError: there is none.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"`--device` must be auto or a device of this machine, but {name!r} is not: {reason}"
        ) from None
    return name


def slow_arithmetic(config: RunConfig, device: str) -> str | None:
    """Return what to tell a user whose processor has no kernels for the configuration's precision; None if it has.

    PyTorch computes bfloat16 convolutions on a CPU without AVX-512 one by one, many times slower than float32.
    """
    capability = torch.backends.cpu.get_cpu_capability()
    if config.compute.precision != "bfloat16" or device != "cpu" or capability not in ("DEFAULT", "AVX2"):
        return None
    return (
        f"This processor ({capability}) has no fast bfloat16, so this will take many times as long as in float32. "
        "Leave out `--set compute.precision=bfloat16`; `--set compute.channels_last=true` helps here too."
    )


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


@lru_cache(maxsize=4)
def _cached_test_images(config: DataConfig, root: Path | None, cache: Path, device: str) -> ImageSet:
    return load_test_images(config, root=root, cache=cache).to(torch.device(device))


@lru_cache(maxsize=4)
def _cached_teacher(config: RunConfig, path: Path, written: int, class_names: tuple[str, ...]) -> Teacher:
    return load_teacher(config, path, class_names=class_names, way_out="Train it again with `dfkd teacher`.")


@lru_cache(maxsize=2)
def _cached_training_images(config: RunConfig, root: Path | None, cache: Path, device: str) -> TrainingImages:
    return load_training_images(config, root=root, cache=cache).to(torch.device(device))


def real_images(config: RunConfig, where: Where) -> TrainingImages | None:
    """Return the training images for a method that learns from them, on the device; None for a data-free one."""
    if not config.learns_from_real_images:
        return None
    shared = RunConfig(data=config.data, teacher=config.teacher)
    return _cached_training_images(shared, where.data_root, Store(where.store).cache, where.device)


@lru_cache(maxsize=4)
def _cached_validation_images(config: DataConfig, root: Path | None, cache: Path, device: str) -> ImageSet:
    return load_validation_images(config, root=root, cache=cache).to(torch.device(device))


def validation_images(config: RunConfig, where: Where) -> ImageSet | None:
    """Return the training images kept aside, on the device; None if ``data.validation_fraction`` keeps none."""
    if config.data.validation_fraction == 0:
        return None
    return _cached_validation_images(config.data, where.data_root, Store(where.store).cache, where.device)


def forget_inputs() -> None:
    """Drop what this process keeps between cells: a step that was broken off may have left hooks or modes on it."""
    for cached in (_cached_test_images, _cached_teacher, _cached_training_images, _cached_validation_images):
        cached.cache_clear()


def worker_inputs(config: RunConfig, where: Where, path: Path) -> tuple[Teacher, ImageSet]:
    """Return the teacher in ``path`` and test images, on the device, loaded once in a process for all its cells.

    Several teachers and data sets are kept at a time, so that cells of several columns of a table may alternate.
    """
    test = _cached_test_images(config.data, where.data_root, Store(where.store).cache, where.device)
    shared = RunConfig(data=config.data, teacher=config.teacher)  # so that cells of other losses share the teacher
    return _cached_teacher(shared, path, path.stat().st_mtime_ns, test.class_names), test


@dataclass(frozen=True)
class Inputs:
    """Images and teacher of a column of a grid, found and checked."""

    class_names: tuple[str, ...]
    test_fingerprint: str
    train_fingerprint: str | None
    """Of the training images, if a row learns from them."""
    teacher: TeacherFile | None
    """None if it is not trained yet."""
    teacher_path: Path
    teacher_command: str
    """What trains it."""


def find_inputs(
    request: Request, *, store: Store, data_root: Path | None, teacher: Path | None, teacher_needed: bool, cache: bool
) -> tuple[Inputs, ...]:
    """Return the inputs of each column of ``request``, in its order; ``teacher`` is a file that the user named.

    Where there are several columns and teachers are needed, all that are missing are named before any image is read.

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
            data_root=data_root,
            images=store.cache if cache else None,
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
    data_root: Path | None,
    images: Path | None,
    needed: bool,
    named: bool,
) -> Inputs:
    config = rows[0]
    test = load_test_images(config.data, root=data_root, cache=images)
    if config.data.validation_fraction > 0:
        load_validation_images(config.data, root=data_root, cache=images)
    loaded = None
    if path.exists() or needed or named:
        way_out = "Name another with `--teacher`." if named else f"Train it with: {command}"
        loaded = read_teacher(config, path, class_names=test.class_names, way_out=way_out)
    train = None
    if any(row.learns_from_real_images for row in rows):  # decoded, to be checked
        train = load_training_images(config, root=data_root, cache=images).fingerprint
    return Inputs(test.class_names, test.fingerprint, train, loaded, path, command)


def _initial_attention(config: RunConfig, classifier: Classifier) -> StageAttention | None:
    """Return the attention that is trained with a teacher, at initial weights; None if none is to be."""
    settings = config.teacher
    if settings.attention == "none":
        return None
    orders, reduction = parse_orders(settings.attention), settings.attention_reduction
    stages = nn.ModuleList(
        HighOrderAttention(channels, orders=orders, reduction=reduction) for channels in classifier.stage_channels
    )
    return StageAttention(settings.attention, reduction, stages.state_dict())


def check_networks(rows: Sequence[RunConfig], file: TeacherFile | None, *, classes: int) -> None:
    """Build each row's student once, on the CPU, so that what does not fit is known before anything runs.

    The ``rows`` share a teacher; if it is not trained yet, one with its initial weights stands in for it.

    Raises:
        ConfigError: two networks do not fit together.
    """
    from dfkd.models import build_classifier  # here, because torchvision takes seconds to import
    from dfkd.models.auxiliary import build_auxiliary

    size = rows[0].data.image_size
    shapes = {shape_of(flatten(config)): config for config in rows}  # alike in everything that counts
    with torch.no_grad():
        if file:
            teacher = file.build()
            classifier, attention = teacher.classifier, teacher.attention
        else:
            made = rows[0].teacher
            classifier = build_classifier(made.architecture, classes=classes, image_size=size, seed=0, role="teacher")
            attention = _initial_attention(rows[0], classifier)
        for config in shapes.values():
            student = build_classifier(
                config.student.architecture, classes=classes, image_size=size, seed=0, role="student"
            )
            if not config.learns_from_real_images:
                build_auxiliary(config, teacher=classifier, student=student, pretrained=attention)
