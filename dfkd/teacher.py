"""The teacher: trained once on real images, and kept in a checkpoint that says what it is."""

import hashlib
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfkd.allocation import keeping_memory
from dfkd.config import RunConfig
from dfkd.data import ImageSet, TrainingImages, dataset_spec
from dfkd.errors import CheckpointError, TrainingDivergedError
from dfkd.evaluation import accuracy, autocast, place
from dfkd.files import load, save
from dfkd.models import Classifier
from dfkd.models.high_order import StageAttention
from dfkd.overrides import flatten
from dfkd.randomness import generator

FORMAT = 1
"""Of the checkpoint file."""

MAKE_IT = "Make it with `dfkd teacher`."


@dataclass(frozen=True)
class Teacher:
    """A trained teacher, frozen, in evaluation mode."""

    classifier: Classifier
    """The network."""
    hash: str
    """Of its weights, and of its attention's if it has one."""
    test_accuracy: float
    """Measured on the test split after training, a fraction."""
    class_names: tuple[str, ...]
    """By label."""
    origin: str | None = None
    """Name of the file that it was imported from; None if it was trained here."""
    attention: StageAttention | None = None
    """Attention on its stages that was trained with its own images; None if there is none."""


def state_hash(state: dict[str, Tensor]) -> str:
    """Return a hash of the names, types, shapes and values of a state dict, however it is stored."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def recipe(config: RunConfig) -> dict[str, Any]:
    """Return the fields that decide a teacher: those of ``data``, ``teacher`` and ``compute``."""
    return {key: value for key, value in flatten(config).items() if key.startswith(("data.", "teacher.", "compute."))}


@keeping_memory
def train_teacher(
    config: RunConfig, *, train: TrainingImages, test: ImageSet, device: torch.device, path: Path
) -> Iterator[dict[str, float]]:
    """Train a teacher by the recipe in ``config`` and write its checkpoint to ``path``; yield a record per epoch.

    SGD with Nesterov momentum 0.9 on a one-cycle schedule, label smoothing, random crop, and a flip where the data set
    allows it. Records hold ``epoch``, ``loss``, ``test_accuracy`` (a fraction) and ``seconds``. The last epoch's
    weights are kept: the test split selects nothing.
    """
    from dfkd.pretrained import initial_teacher  # these here, because torchvision takes seconds to import
    from dfkd.real_batches import epoch_batches
    from dfkd.stage_attention import train_stage_attention

    settings, spec = config.teacher, dataset_spec(config.data.dataset)
    classifier = initial_teacher(config, classes=len(train.class_names)).classifier
    network = place(classifier.network, config.compute, device)
    optimizer = torch.optim.SGD(
        network.parameters(), settings.learning_rate, momentum=0.9, nesterov=True, weight_decay=settings.weight_decay
    )
    steps = math.ceil(len(train.labels) / settings.batch_size)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=steps * settings.epochs, cycle_momentum=False
    )
    order = generator(settings.seed, "teacher.order")
    augmentation = generator(settings.seed, "teacher.augmentation")
    train, test = train.to(device), test.to(device)
    measured = 0.0
    for epoch in range(1, settings.epochs + 1):
        start = time.perf_counter()
        network.train()
        losses = []
        for images, labels in epoch_batches(
            config, train, size=settings.batch_size, order=order, augmentation=augmentation
        ):
            with autocast(config.compute, device):
                logits = network(images)
            loss = F.cross_entropy(logits.float(), labels, label_smoothing=settings.label_smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            scheduler.step()
            losses.append(loss.detach())
        mean_loss = torch.stack(losses).mean().item()
        if not math.isfinite(mean_loss):
            raise TrainingDivergedError(
                f"The teacher's loss became {mean_loss} in epoch {epoch}; lower `teacher.learning_rate`."
            )
        measured = accuracy(network, test, spec, config.compute)
        yield {"epoch": epoch, "loss": mean_loss, "test_accuracy": measured, "seconds": time.perf_counter() - start}
    about = {"recipe": recipe(config), "train_fingerprint": train.fingerprint, "test_accuracy": measured}
    attention = None
    if settings.attention != "none":
        attention = train_stage_attention(config, classifier, train=train, device=device)
    save_teacher(path, network, test=test, about=about, attention=attention)


def save_teacher(
    path: Path, network: nn.Module, *, test: ImageSet, about: dict[str, Any], attention: StageAttention | None = None
) -> None:
    """Write a teacher's checkpoint: ``network``'s weights with their hash, and what it is.

    ``about`` holds its ``recipe`` (dotted keys to values; at least its data and architecture), its ``test_accuracy`` on
    ``test`` (a fraction), and ``train_fingerprint`` if it was trained here or ``origin`` if it was not.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    stamp = {"format": FORMAT, "torch": str(torch.__version__), "state": state, "hash": _hash(state, attention)}
    if attention:
        stamp["attention"] = vars(attention)
    save({**stamp, "class_names": list(test.class_names), "test_fingerprint": test.fingerprint, **about}, path)


def _hash(state: dict[str, Tensor], attention: StageAttention | None) -> str:
    """Return the hash of the network's weights, and of its attention's if it has one."""
    return state_hash(state | ({f"attention.{k}": v for k, v in attention.state.items()} if attention else {}))


@dataclass(frozen=True)
class TeacherFile:
    """A teacher's checkpoint that has been read and checked; its network is not built yet."""

    content: Mapping[str, Any]
    """As ``save_teacher`` wrote it."""

    @property
    def hash(self) -> str:
        """As ``Teacher.hash``."""
        return self.content["hash"]

    @property
    def test_accuracy(self) -> float:
        """As ``Teacher.test_accuracy``."""
        return self.content["test_accuracy"]

    @property
    def origin(self) -> str | None:
        """As ``Teacher.origin``."""
        return self.content["origin"]["file"] if "origin" in self.content else None

    def build(self) -> Teacher:
        """Return the teacher, on the CPU."""
        from dfkd.models import build_classifier  # here, because torchvision takes seconds to import

        made, class_names = self.content["recipe"], tuple(self.content["class_names"])
        classifier = build_classifier(
            made["teacher.architecture"],
            classes=len(class_names),
            image_size=made["data.image_size"],
            seed=0,
            role="teacher",
        )
        classifier.network.load_state_dict(self.content["state"])
        classifier.network.eval().requires_grad_(False)
        return Teacher(classifier, self.hash, self.test_accuracy, class_names, self.origin, _attention(self.content))


def load_teacher(config: RunConfig, path: Path, *, class_names: tuple[str, ...], way_out: str = MAKE_IT) -> Teacher:
    """Return the teacher in ``path``, on the CPU, checked as ``read_teacher`` does.

    Raises:
        CheckpointError: as ``read_teacher``.
    """
    return read_teacher(config, path, class_names=class_names, way_out=way_out).build()


def _attention(content: Mapping[str, Any]) -> StageAttention | None:
    return StageAttention(**content["attention"]) if "attention" in content else None


def read_teacher(config: RunConfig, path: Path, *, class_names: tuple[str, ...], way_out: str = MAKE_IT) -> TeacherFile:
    """Return the checkpoint in ``path``, checked against ``config`` and the classes of the test images.

    Raises:
        CheckpointError: missing, truncated, altered, of another architecture, image size, data set or classes, or
            trained on images that are kept aside for validation.
    """
    content = load(path, what="teacher's checkpoint", way_out=way_out)
    if content.get("format") != FORMAT:
        raise CheckpointError(
            f"A teacher's checkpoint must be of format {FORMAT}, but {path} is not. {way_out} One that was trained "
            "elsewhere is imported with `dfkd teacher DATASET --checkpoint FILE`."
        )
    made = content["recipe"]
    wanted = {
        "teacher.architecture": config.teacher.architecture,
        "data.image_size": config.data.image_size,
        "data.dataset": config.data.dataset,
        "number of classes": len(class_names),
    }
    found = made | {"number of classes": len(content["class_names"])}
    for key, value in wanted.items():
        if found[key] != value:
            raise CheckpointError(
                f"The teacher's {key.removeprefix('teacher.')} must be {value!r}, but that of {path} is {found[key]!r}."
                f" {way_out}"
            )
    kept_aside = made.get("data.validation_fraction", 0.0)
    if kept_aside < config.data.validation_fraction:
        raise CheckpointError(
            f"The teacher must not have seen the validation images (`data.validation_fraction` "
            f"{config.data.validation_fraction}), but that of {path} was trained with {kept_aside}. {way_out}"
        )
    if tuple(content["class_names"]) != class_names:
        wrong = next(i for i, name in enumerate(class_names) if content["class_names"][i] != name)
        raise CheckpointError(
            f"The teacher's classes must be those of the test images, but class {wrong} of {path} is "
            f"{content['class_names'][wrong]!r} and here it is {class_names[wrong]!r}. {way_out}"
        )
    if _hash(content["state"], _attention(content)) != content["hash"]:
        raise CheckpointError(
            f"The teacher's weights must match the hash stored with them, but those of {path} do not. {way_out}"
        )
    return TeacherFile(content)


def describe_teacher(path: Path, *, way_out: str = MAKE_IT) -> dict[str, Any]:
    """Return what a teacher's checkpoint says of itself, without its weights.

    Raises:
        CheckpointError: missing or damaged.
    """
    content = load(path, what="teacher's checkpoint", way_out=way_out)
    return {key: value for key, value in content.items() if key not in ("state", "attention")}
