"""The networks of a finished run, read again: to look at what it has learnt."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dfkd.config import RunConfig
from dfkd.data import ImageSet, dataset_spec
from dfkd.errors import CheckpointError, DataError
from dfkd.evaluation import load_test_images
from dfkd.explanation import Synthetic, synthesise
from dfkd.files import load
from dfkd.models import Classifier, build_classifier
from dfkd.models.auxiliary import AttentionDistillation, build_auxiliary
from dfkd.models.generator import AttentionGenerator
from dfkd.overrides import with_overrides
from dfkd.teacher import Teacher, load_teacher
from harness.inputs import teacher_name
from harness.store import Store, StoreError, cell_config


@dataclass(frozen=True)
class Finished:
    """A finished run, on the CPU."""

    cell: str
    """Its identity."""
    config: RunConfig
    """What it was run with."""
    teacher: Teacher
    """The one it was run with."""
    student: Classifier
    """After the last epoch."""
    test: ImageSet
    """The images that it was measured on."""
    kept: Mapping[str, Any] | None
    """Weights of ``generator`` and ``auxiliary``; None unless it was run with ``--keep-networks``."""
    folder: Path
    """Where it lies."""


def measured_images(store: Store, cell_id: str, config: RunConfig, *, data_root: Path | None) -> ImageSet:
    """Return the test images that a cell was measured on.

    Raises:
        DataError: they are missing, or others.
    """
    wanted = cell_config(store, cell_id)["test_fingerprint"]
    test = load_test_images(config.data, root=data_root, cache=store.cache)
    if test.fingerprint != wanted:
        raise DataError(
            f"The test images must be those that cell {cell_id} was measured on, of fingerprint "
            f"{wanted[:16]}, but they have {test.fingerprint[:16]}. Name the folder that it was "
            "run with by `--data-root`."
        )
    return test


def load_finished(store: Store, cell_id: str, *, data_root: Path | None, teacher: Path | None) -> Finished:
    """Return the networks of a finished cell, with its teacher: the store's, or that of the file ``teacher``.

    Raises:
        StoreError: the cell is not finished.
        CheckpointError: teacher or student are missing, damaged, or not those of the cell.
        DataError: the test images are missing, or not those that the cell was measured on.
    """
    record = store.read(cell_id)
    if record.result is None:
        raise StoreError(
            f"Cell {cell_id} must be finished for its networks to be looked at, but it is {record.status} after "
            f"{record.epochs_done} epochs. Give the command that planned it once more: it goes on from there."
        )
    content, folder = cell_config(store, cell_id), store.cell(cell_id)
    config = with_overrides(RunConfig(), content["config"])
    test = measured_images(store, cell_id, config, data_root=data_root)
    found = load_teacher(config, teacher or store.teacher(teacher_name(config)), class_names=test.class_names)
    if found.hash != content["teacher_hash"]:
        raise CheckpointError(
            f"The teacher must be the one that cell {cell_id} was run with, of hash {content['teacher_hash'][:16]}, "
            f"but it is {found.hash[:16]}. Name that one's file by `--teacher`."
        )
    size, classes = config.data.image_size, len(test.class_names)
    student = build_classifier(config.student.architecture, classes=classes, image_size=size, seed=0, role="student")
    saved = load(
        folder / "student.pt",
        what="student's weights",
        way_out="An archive has them if it was written with `dfkd export-store --checkpoints`.",
    )
    student.network.load_state_dict(saved["state"])
    student.network.eval().requires_grad_(False)
    path = folder / "networks.pt"
    kept = load(path, what="run's networks", way_out="Delete the file to go without.") if path.exists() else None
    return Finished(cell_id, config, found, student, test, kept, folder)


def generator_of(run: Finished) -> AttentionGenerator:
    """Return the run's generator.

    Raises:
        StoreError: it was not kept.
    """
    if run.kept is None or run.config.learns_from_real_images:
        why = (
            "it learnt from real images and has none. Name a data-free one."
            if run.config.learns_from_real_images
            else "it was run without `--keep-networks`. Run it so in a new store: the numbers will be the same."
        )
        raise StoreError(f"Cell {run.cell} must have kept its generator, but {why}")
    if not _has_generator(run.config):
        raise StoreError(
            f"Cell {run.cell} must have one generator of noise alone for this, but its images come from "
            f"`synthesis.kind` {run.config.synthesis.kind} and `generator.class_embedding` "
            f"{run.config.generator.class_embedding}. Name a run of another method."
        )
    network = AttentionGenerator(run.config.generator, image_size=run.config.data.image_size, seed=run.config.seed)
    network.load_state_dict(run.kept["generator"])
    return network


def _has_generator(config: RunConfig) -> bool:
    """Return whether a run's images come from one generator that is given noise and nothing else."""
    return config.synthesis.kind == "generator" and config.generator.class_embedding == 0


def synthetic_images(run: Finished) -> Tensor | None:
    """Return 64 synthetic images as the networks see them, of shape (64, 3, size, size); None if the run made none.

    They come from its generator, if it was kept, and else from the picture of samples, whose pixels are bytes.
    """
    if run.config.learns_from_real_images:
        return None
    if run.kept is not None and _has_generator(run.config):
        return synthetic_of(run).images
    path, size = run.folder / "samples.png", run.config.data.image_size
    if not path.exists():
        return None
    with Image.open(path) as picture:
        sheet = torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)
    squares = (
        sheet[:, 2:, 2:].unfold(1, size, size + 2).unfold(2, size, size + 2)
    )  # as torchvision's make_grid sets them
    return dataset_spec(run.config.data.dataset).normalise_bytes(squares.permute(1, 2, 0, 3, 4).flatten(0, 1))


def synthetic_of(run: Finished) -> Synthetic:
    """Return 64 images of the run's generator, with what it attended to; raise StoreError if it was not kept."""
    return synthesise(run.config, generator_of(run))


def mhad_of(run: Finished) -> tuple[AttentionDistillation, bool] | None:
    """Return the attention of the run's L_MHAD, and whether the student's side is known; None if the term was off.

    Without ``--keep-networks`` an attention that was not trained is made anew from the run's seed; the student's
    adapters were trained, so that its side is lost.

    Raises:
        StoreError: the attention was trained, and was not kept.
    """
    mhad = run.config.student_loss.mhad
    if run.config.learns_from_real_images or mhad.weight == 0:
        return None
    modules = build_auxiliary(
        run.config, teacher=run.teacher.classifier, student=run.student, pretrained=run.teacher.attention
    )
    if run.kept is not None:
        modules.load_state_dict(run.kept["auxiliary"])
    elif mhad.attention in ("shared", "both"):
        raise StoreError(
            f"Cell {run.cell} must have kept its attention, which it trained (`student_loss.mhad.attention` "
            f"{mhad.attention}), but it was run without `--keep-networks`. Run it so in a new store: the numbers will "
            "be the same."
        )
    module = modules.requires_grad_(False)["mhad"]
    assert isinstance(module, AttentionDistillation)
    return module, run.kept is not None
