"""Figures 5 and 6 of the paper: what the networks of finished runs look at."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dfkd.errors import ConfigError, nearest
from harness.records import Plan
from harness.store import Store, StoreError, find_cell

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dfkd.data import ImageSet
    from dfkd.models import Classifier
    from harness.finished import Finished

FIRST_CLASSES = 10
"""Classes whose features are drawn by default: as many as in the paper's Figure 5."""


@dataclass(frozen=True)
class Asked:
    """What the options ask of a figure of networks."""

    rows: tuple[str, ...]
    """Rows of the grid; none: all that have a finished run."""
    classes: str | None
    """Names of classes, or beginnings of them, joined by commas."""
    images: int
    """How many real images, and how many synthetic ones."""
    stage: int | None
    """From 1; None is the last."""
    data_root: Path | None
    """Folder of the data set."""
    teacher: Path | None
    """A teacher's checkpoint, instead of the store's own."""


def is_cell(target: str) -> bool:
    """Return whether ``target`` reads like a cell's id, or the beginning of one, and not like a grid."""
    return re.fullmatch("[0-9a-f]{4,16}", target) is not None


def cells_of_rows(plan: Plan, store: Store, rows: Sequence[str]) -> dict[str, str]:
    """Return the cell of each row's first seed that is done.

    Raises:
        ConfigError: a row is not of the grid.
        StoreError: a row that was named, or every one, has no finished run.
    """
    for row in rows:
        if row not in plan.rows:
            raise ConfigError(f"ROW must be a row of {plan.grid!r}, but {row!r} is none. {nearest(row, plan.rows)}")
    found: dict[str, str] = {}
    for cell in plan.cells:
        if cell.row in (rows or plan.rows) and cell.row not in found and store.read(cell.id).status == "done":
            found[cell.row] = cell.id
    missing = [row for row in rows or plan.rows if row not in found]
    if missing if rows else not found:
        raise StoreError(
            f"A row must have a finished run to be looked at, but in {store.root} none of {', '.join(missing)} has. "
            "`dfkd ablate` makes them."
        )
    return found


def network_figure(name: str, store: Store, cells: dict[str, str], asked: Asked) -> "Figure":
    """Return the figure ``features``, ``attention`` or ``gradcam`` of the students in ``cells``, by name."""
    if name == "attention" and len(cells) > 1:
        raise ConfigError(
            f"`dfkd figure attention` must be given one run, but {len(cells)} rows have one: {', '.join(cells)}. "
            "Name one."
        )
    from harness.finished import load_finished

    runs = {
        label: load_finished(store, cell_id, data_root=asked.data_root, teacher=asked.teacher)
        for label, cell_id in cells.items()
    }
    _check_alike(list(runs.values()))
    match name:
        case "features":
            return _features(runs, asked)
        case "attention":
            return _attention(next(iter(runs.values())), asked)
        case _:
            return _grad_cam(runs, asked)


def of_cell(store: Store, target: str) -> dict[str, str]:
    """Return the cell that ``target`` begins, under the name ``Student``."""
    return {"Student": find_cell(store, target)}


def _check_alike(runs: "list[Finished]") -> None:
    """Raise StoreError unless all runs have one teacher and one set of test images."""
    first = runs[0]
    other = next((run for run in runs if run.teacher.hash != first.teacher.hash), None)
    if other:
        raise StoreError(
            "Networks of one figure must have the same teacher, but those of the cells "
            f"{first.cell} and {other.cell} differ. Draw them one by one."
        )


def _chosen_classes(names: Sequence[str], text: str | None, count: int) -> list[int]:
    """Return the positions of the classes in ``text``, or of the first ``count``."""
    if text is None:
        return list(range(min(count, len(names))))
    chosen = []
    for part in (each.strip() for each in text.split(",")):
        found = [i for i, each in enumerate(names) if each == part] or [
            i for i, each in enumerate(names) if part and each.startswith(part)
        ]
        if len(found) != 1:
            what = f"begins {len(found)} of them" if found else "begins none"
            raise ConfigError(
                f"`--classes` must be names of the run's classes, or beginnings of one name alone, but {part!r} "
                f"{what}. {nearest(part, names)}"
            )
        chosen += found
    if len(set(chosen)) < len(chosen):
        raise ConfigError(f"`--classes` must name each class once, but {text!r} names one twice.")
    return chosen


def _readable(name: str) -> str:
    """Return a class's name without the number and the underscores of its folder."""
    return re.sub(r"^\d+\.", "", name).replace("_", " ")


def _features(runs: "dict[str, Finished]", asked: Asked) -> "Figure":
    """Return t-SNE of the features of test images: of the teacher, and of every student."""
    import torch

    from dfkd.data import dataset_spec
    from dfkd.evaluation import BATCH
    from dfkd.explanation import penultimate_features
    from reports.figures import feature_map

    first = next(iter(runs.values()))
    test, spec = first.test, dataset_spec(first.config.data.dataset)
    chosen = _chosen_classes(test.class_names, asked.classes, FIRST_CLASSES)
    kept = torch.isin(test.labels, torch.tensor(chosen))
    images, labels = test.images[kept], [chosen.index(label) for label in test.labels[kept].tolist()]

    def features(classifier: "Classifier") -> Any:
        parts = [penultimate_features(classifier, spec.normalise_bytes(each)) for each in images.split(BATCH)]
        return torch.cat(parts).double().numpy()

    panels = {_named("Teacher", first, teacher=True): features(first.teacher.classifier)}
    panels |= {_named(label, run): features(run.student) for label, run in runs.items()}
    return feature_map(panels, np.array(labels), class_names=[_readable(test.class_names[i]) for i in chosen])


def _named(label: str, run: "Finished", *, teacher: bool = False) -> str:
    return f"{label} ({run.config.teacher.architecture if teacher else run.config.student.architecture})"


def _stage(classifier: "Classifier", asked: Asked) -> int:
    """Return the index of the stage asked for, or of the last."""
    count = len(classifier.stages)
    number = count if asked.stage is None else asked.stage
    if not 1 <= number <= count:
        raise ConfigError(f"`--stage` must be 1 to {count}, the stages of the networks, but it is {number}.")
    return number - 1


def _real_images(test: "ImageSet", asked: Asked) -> tuple[Any, list[int]]:
    """Return the first test image of each chosen class, as bytes, and the classes."""
    chosen = _chosen_classes(test.class_names, asked.classes, asked.images)
    return test.images[[int((test.labels == label).nonzero()[0]) for label in chosen]], chosen


def _shown(run: "Finished", inputs: Any) -> Any:
    """Return what networks see as pictures: bytes of shape (count, height, width, 3)."""
    from dfkd.data import dataset_spec

    pixels = dataset_spec(run.config.data.dataset).denormalise(inputs)
    return (255 * pixels).round().byte().permute(0, 2, 3, 1).numpy()


def _grad_cam(runs: "dict[str, Finished]", asked: Asked) -> "Figure":
    """Return Grad-CAM of teacher and students, for the class of a real image and the teacher's of a synthetic one."""
    import torch

    from dfkd.data import dataset_spec
    from dfkd.explanation import grad_cam
    from harness.finished import synthetic_images
    from reports.figures import map_rows

    first = next(iter(runs.values()))
    networks = {_named("Teacher", first, teacher=True): first.teacher.classifier}
    networks |= {_named(label, run): run.student for label, run in runs.items()}
    stages = {label: _stage(classifier, asked) for label, classifier in networks.items()}
    pictures, chosen = _real_images(first.test, asked)
    inputs = dataset_spec(first.config.data.dataset).normalise_bytes(pictures)
    made = next((found for run in runs.values() if (found := synthetic_images(run)) is not None), None)
    classes = torch.tensor(chosen)
    if made is not None:
        made = made[: asked.images]
        inputs = torch.cat([inputs, made])
        with torch.no_grad():
            classes = torch.cat([classes, first.teacher.classifier.network(made).argmax(dim=1)])
    maps = {}
    for label, classifier in networks.items():
        path = classifier.stages[stages[label]]
        found = grad_cam(classifier.network, inputs, path=path, classes=classes)
        maps[f"{label}, stage {stages[label] + 1}"] = list(found.numpy())
    names = [_readable(first.test.class_names[label]) for label in classes.tolist()]
    titles = [f"{'real' if i < len(chosen) else 'synthetic'}\n{_wrapped(name)}" for i, name in enumerate(names)]
    return map_rows(_shown(first, inputs), maps, titles=titles, shared=False)


def _wrapped(name: str) -> str:
    """Return a class's name in two lines at most, of a picture's width."""
    words = name.split()
    middle = (len(words) + 1) // 2
    return "\n".join([" ".join(words[:middle]), " ".join(words[middle:])])


def _attention(run: "Finished", asked: Asked) -> "Figure":
    """Return the generator's spatial attention and L_MHAD's A_m, on synthetic images, the latter on real ones too."""
    import torch

    from dfkd.data import dataset_spec
    from dfkd.explanation import mixed_attention
    from harness.finished import mhad_of, synthetic_images, synthetic_of
    from reports.figures import map_rows

    if run.config.learns_from_real_images:
        raise StoreError(f"Attention must be of a data-free run, but {run.cell} is of `method={run.config.method}`.")
    mhad = mhad_of(run)
    stage = _compared_stage(run, mhad[0].stages, asked) if mhad is not None else None
    pictures, chosen = _real_images(run.test, asked)
    inputs = dataset_spec(run.config.data.dataset).normalise_bytes(pictures)
    maps: dict[str, list[Any]] = {}
    if run.kept is None:
        made = synthetic_images(run)
    else:
        synthetic = synthetic_of(run)
        made = synthetic.images
        for block, found in synthetic.attention.items():
            maps[f"Generator, softmax(A_s) of block {block}"] = [None] * len(chosen) + list(
                found[: asked.images].numpy()
            )
    if made is not None:
        inputs = torch.cat([inputs, made[: asked.images]])
    if mhad is not None and stage is not None:
        module, student_known = mhad
        sides = mixed_attention(module, teacher=run.teacher.classifier, student=run.student, images=inputs, stage=stage)
        for side, found in list(zip(("teacher", "student"), sides, strict=True))[: 1 + student_known]:
            maps[f"A_m of the {side}, stage {stage + 1}"] = list(found.numpy())
    if not maps:
        raise StoreError(
            f"Cell {run.cell} must have an attention to be drawn, but its L_MHAD is off and its generator was not kept "
            "(`--keep-networks`), or has none."
        )
    titles = ["real"] * len(chosen) + ["synthetic"] * (len(inputs) - len(chosen))
    return map_rows(_shown(run, inputs), maps, titles=titles, shared=True)


def _compared_stage(run: "Finished", compared: tuple[int, ...], asked: Asked) -> int | None:
    """Return the index of the stage asked for, which L_MHAD must compare, or of the last; None at the penultimate."""
    if asked.stage is None:
        return compared[-1] if compared else None
    stage = _stage(run.teacher.classifier, asked)
    if stage not in compared:
        where = ", ".join(str(each + 1) for each in compared) or "none: it compares the penultimate feature"
        raise ConfigError(f"`--stage` must be one that L_MHAD compares, but it is {stage + 1}; those are {where}.")
    return stage
