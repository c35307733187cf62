"""A teacher that was trained elsewhere: its weights read without executing code, checked, and measured here."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from dfkd.config import ARCHITECTURES, RunConfig
from dfkd.data import ImageSet, dataset_spec
from dfkd.errors import CheckpointError
from dfkd.evaluation import accuracy, place
from dfkd.files import load
from dfkd.models import Classifier, build_classifier
from dfkd.teacher import Teacher, recipe, save_teacher, state_hash

WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "state")
"""Keys under which training scripts (ours: ``state``) keep the weights in a larger file; the first one is taken."""

PREFIXES = ("module.", "_orig_mod.", "model.", "net.")
"""What data parallelism, torch.compile and wrapping modules put before every name."""

SAVE_WEIGHTS = "Where it was trained, save its weights alone: `torch.save(model.state_dict(), FILE)`."


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        CheckpointError: there is no such file.
    """
    if not path.is_file():
        raise CheckpointError(
            f"`--checkpoint` must name a file with a teacher's weights, but there is no file {path}. Check the path."
        )
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the state dict in ``path``, without its wrapper and the prefixes that all its names share.

    ``.safetensors`` files are read as such, all others as what ``torch.save`` writes. No code in the file is executed.

    Raises:
        CheckpointError: missing, damaged, holding code, or without a state dict.
    """
    state: Any = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    while wrapper := next((key for key in WRAPPERS if isinstance(state.get(key), Mapping)), None):
        state = state[wrapper]
    wrong = [str(key) for key, value in state.items() if not isinstance(key, str) or not isinstance(value, Tensor)]
    if wrong or not state:
        found = f"{', '.join(wrong[:3])} {'is none' if len(wrong) == 1 else 'are none'}" if wrong else "it is empty"
        raise CheckpointError(
            f"A teacher's weights must be a state dict (names to tensors), alone or under one of the keys "
            f"{', '.join(WRAPPERS)}, but in {path} {found}. {SAVE_WEIGHTS}"
        )
    while prefix := next((p for p in PREFIXES if all(name.startswith(p) for name in state)), None):
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    broken = next((name for name, value in state.items() if not torch.isfinite(value).all()), None)
    if broken:
        raise CheckpointError(
            f"A teacher's weights must be finite, but `{broken}` of {path} holds NaN or infinity. Take an earlier "
            "checkpoint of that training."
        )
    return dict(state)


def _read_torch(path: Path) -> dict[str, Any]:
    return load(path, what="teacher's weights", way_out=SAVE_WEIGHTS)


def _read_safetensors(path: Path) -> dict[str, Any]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"The teacher's weights must be a whole safetensors file, but {path} cannot be read: {error}. "
            "Fetch or write it again."
        ) from None


def fit_weights(state: Mapping[str, Tensor], config: RunConfig, *, classes: int, source: Path) -> Classifier:
    """Return the teacher's network with the weights ``state``, in float32; ``source`` is named in messages.

    Counters of batches may be missing: files older than PyTorch 0.4.1 have none, and no number depends on them.

    Raises:
        CheckpointError: another architecture, another first convolution, or another number of classes.
    """
    name, size = config.teacher.architecture, config.data.image_size
    classifier = build_classifier(name, classes=classes, image_size=size, seed=0, role="teacher")
    own = classifier.network.state_dict()
    missing, unexpected, misshaped = _differences(state, own)
    resized, recounted, others = _kinds(misshaped, state, own, classifier.head)
    if missing or unexpected or others:
        shapes = [f"{key} {_shape(state[key])} instead of {_shape(own[key])}" for key in others]
        parts = [_some(missing, "missing"), _some(unexpected, "unexpected"), _some(shapes, "of another shape")]
        raise CheckpointError(
            f"The teacher's weights must be those of {name}, but of the tensors in {source} "
            f"{'; '.join(filter(None, parts))}. {_advice(state, size)}"
        )
    for stem in resized:
        there = "112 or more" if own[stem].shape[-1] < state[stem].shape[-1] else "less than 112"
        raise CheckpointError(
            f"The first convolution of {name} at {size} px must be {_kernel(own[stem])}, but `{stem}` of {source} is "
            f"{_kernel(state[stem])}: from 112 px on our network has the stem that torchvision's has at every size, "
            f"and below a smaller one. Set the size that it was trained at, {there}, with `--set data.image_size=...`, "
            "or train a teacher here: `dfkd teacher` without `--checkpoint`."
        )
    if recounted:
        raise CheckpointError(
            f"The teacher's number of classes must be {classes}, as in the test images, but the head `{recounted[0]}` "
            f"of {source} has {len(state[recounted[0]])}. Choose the classes that it was trained on with "
            "`--set data.classes=...`."
        )
    classifier.network.load_state_dict(own | dict(state))
    classifier.network.eval().requires_grad_(False)
    return classifier


def _differences(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> tuple[list[str], list[str], list[str]]:
    """Return the names that ``state`` lacks, those that ``own`` lacks, and those of another shape in both."""
    missing = [key for key in own if key not in state and not key.endswith(".num_batches_tracked")]
    unexpected = [key for key in state if key not in own]
    return missing, unexpected, [key for key in own if key in state and state[key].shape != own[key].shape]


def _kinds(
    misshaped: list[str], state: Mapping[str, Tensor], own: Mapping[str, Tensor], head: str
) -> tuple[list[str], list[str], list[str]]:
    """Return ``misshaped`` in three: a first convolution of another kernel, a head of other classes, and the rest."""
    stem = next(key for key, value in own.items() if value.ndim == 4)
    resized = [key for key in misshaped if key == stem and state[key].shape[:2] == own[key].shape[:2]]
    recounted = [
        key
        for key in misshaped
        if key in (f"{head}.weight", f"{head}.bias") and state[key].shape[1:] == own[key].shape[1:]
    ]
    return resized, recounted, [key for key in misshaped if key not in resized + recounted]


def _some(names: list[str], what: str, *, limit: int = 3) -> str:
    more = f", and {len(names) - limit} more" if len(names) > limit else ""
    return (
        f"{len(names)} {'is' if len(names) == 1 else 'are'} {what} ({', '.join(names[:limit])}{more})" if names else ""
    )


def _shape(value: Tensor) -> str:
    return "x".join(map(str, value.shape)) or "scalar"


def _kernel(value: Tensor) -> str:
    return f"{value.shape[-2]}x{value.shape[-1]}"


def _advice(state: Mapping[str, Tensor], image_size: int) -> str:
    """Return which of our networks has the tensors of ``state``, whatever its classes and stem, or that none has."""
    for name in ARCHITECTURES:
        with torch.device("meta"):
            classifier = build_classifier(name, classes=2, image_size=image_size, seed=0, role="teacher")
        own = classifier.network.state_dict()
        missing, unexpected, misshaped = _differences(state, own)
        if not missing and not unexpected and not _kinds(misshaped, state, own, classifier.head)[2]:
            return f"They are those of {name}: `--set teacher.architecture={name}`."
    return f"They are those of none of our networks at {image_size} px: {', '.join(ARCHITECTURES)}."


def import_teacher(
    config: RunConfig,
    weights: Mapping[str, Tensor],
    *,
    source: Path,
    test: ImageSet,
    device: torch.device,
    path: Path,
) -> Teacher:
    """Measure a teacher on ``test``, write it to ``path`` as our own checkpoint, and return it.

    ``weights`` are what ``read_weights(source)`` returned.

    The checkpoint records the file's name and SHA-256 as its ``origin``, and of the recipe only what is known: the
    data, the architecture and how it was measured. What shapes cannot show - strides, pooling, another normalisation of
    the images, another order of the classes - shows in the accuracy.

    Raises:
        CheckpointError: the weights are those of another network, as in ``fit_weights``.
    """
    origin = {"file": source.name, "sha256": file_hash(source)}
    classifier = fit_weights(weights, config, classes=len(test.class_names), source=source)
    network = place(classifier.network, config.compute, device)
    measured = accuracy(network, test.to(device), dataset_spec(config.data.dataset), config.compute)
    known = {
        key: value
        for key, value in recipe(config).items()
        if key == "teacher.architecture" or not key.startswith("teacher.")
    }
    save_teacher(path, network, test=test, about={"recipe": known, "test_accuracy": measured, "origin": origin})
    return Teacher(classifier, state_hash(network.state_dict()), measured, test.class_names, source.name)
