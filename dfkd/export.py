"""A trained student as one file for use elsewhere: pixels in, logits out, and checked after it was written."""

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dfkd.config import RunConfig
from dfkd.data import ImageSet, dataset_spec
from dfkd.data.pictures import resized_size
from dfkd.errors import ExportError, ExportMismatchError
from dfkd.evaluation import BATCH
from dfkd.files import atomic_path, load, save
from dfkd.models import build_classifier
from dfkd.overrides import flatten, with_overrides

Run = Callable[[Tensor], Tensor]
"""What a file is when it was read again: images in [0, 1] of shape (batch, 3, size, size) to logits."""


class Predictor(nn.Module):
    """A student with its preprocessing: it normalises the images itself.

    Shapes are not annotated by jaxtyping, because exporters call ``forward`` with symbolic sizes.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, *, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits of shape (batch, classes) of RGB images in [0, 1] of shape (batch, 3, size, size)."""
        return self.network((images - self.mean) / self.std)


def build_predictor(config: RunConfig, state: Mapping[str, Tensor], *, classes: int) -> Predictor:
    """Return the student of ``config`` with the weights ``state``, on the CPU, in evaluation mode."""
    spec = dataset_spec(config.data.dataset)
    student = build_classifier(
        config.student.architecture, classes=classes, image_size=config.data.image_size, seed=0, role="student"
    )
    student.network.load_state_dict(dict(state))
    return Predictor(student.network, mean=spec.mean, std=spec.std).eval().requires_grad_(False)


def describe_student(config: RunConfig, class_names: tuple[str, ...]) -> dict[str, Any]:
    """Return what one must know to use an exported student: JSON values."""
    spec, size = dataset_spec(config.data.dataset), config.data.image_size
    return {
        "architecture": config.student.architecture,
        "class_names": list(class_names),
        "input": {
            "name": "images",
            "type": "float32",
            "shape": ["batch", 3, size, size],
            "values": "RGB pixels in [0, 1]" + (", the three channels equal" if spec.gray else ""),
        },
        "output": {"name": "logits", "type": "float32", "shape": ["batch", len(class_names)]},
        "resize": {"shorter_side": resized_size(config.data), "interpolation": "bilinear, antialiased"},
        "centre_crop": size,
        "normalised_inside": {"mean": list(spec.mean), "std": list(spec.std)},
        "configuration": flatten(config),
    }


def load_student(path: Path) -> Predictor:
    """Return the student that was exported to ``path`` in the format ``torch``. No code in the file is executed.

    Raises:
        CheckpointError: missing, damaged, or another kind of file.
    """
    content = load(path, what="exported student", way_out="Export it again with `dfkd export`.")
    if content.get("kind") != "student":
        raise ExportError(
            f"The file must be a student exported with `dfkd export --format torch`, but {path} is another one. "
            "Export it again."
        )
    about = content["about"]
    config = with_overrides(RunConfig(), about["configuration"])
    return build_predictor(config, content["state"], classes=len(about["class_names"]))


def _example(about: Mapping[str, Any]) -> Tensor:
    return torch.rand(2, *about["input"]["shape"][1:], generator=torch.Generator().manual_seed(0))


def _write_torch(predictor: Predictor, about: Mapping[str, Any], path: Path) -> None:
    save({"kind": "student", "about": dict(about), "state": predictor.network.state_dict()}, path)


def _write_torchscript(predictor: Predictor, about: Mapping[str, Any], path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch would have us use torch.export, whose files only Python reads
        torch.jit.save(torch.jit.trace(predictor, _example(about)), path)


def _read_torchscript(path: Path) -> Run:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.load(path, map_location="cpu")


def _write_onnx(predictor: Predictor, about: Mapping[str, Any], path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside the exporter
        torch.onnx.export(
            predictor,
            (_example(about),),
            path,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def _read_onnx(path: Path) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(["logits"], {"images": images.numpy()})[0])


@dataclass(frozen=True)
class Format:
    """How a student is written, and read again."""

    suffix: str
    """Of the file."""
    packages: tuple[str, ...]
    """That must be installed, beyond those that training needs."""
    write: Callable[[Predictor, Mapping[str, Any], Path], None]
    """Write the student, with what is known of it, to a path."""
    read: Callable[[Path], Run]
    """Return the file as a function."""


FORMATS = {
    "torch": Format(".pt", (), _write_torch, load_student),
    "torchscript": Format(".ts", (), _write_torchscript, _read_torchscript),
    "onnx": Format(".onnx", ("onnx", "onnxscript", "onnxruntime"), _write_onnx, _read_onnx),
}


def require_packages(name: str) -> None:
    """Raise ExportError unless the packages that the format ``name`` needs are installed."""
    lacking = [package for package in FORMATS[name].packages if find_spec(package) is None]
    if lacking:
        raise ExportError(
            f"The format {name} needs {', '.join(FORMATS[name].packages)}, but {', '.join(lacking)} cannot be found. "
            "Install them with `pip install 'dfkd-harness[export]'`, or choose another `--format`."
        )


@torch.no_grad()
def predictions(run: Run, test: ImageSet) -> Tensor:
    """Return the class that ``run`` gives to each image of ``test``, int64 of shape (count,)."""
    return torch.cat([run(images.float() / 255).argmax(dim=1) for images in test.images.split(BATCH)])


def export_student(
    predictor: Predictor,
    about: Mapping[str, Any],
    *,
    format: str,
    path: Path,
    test: ImageSet,
    recorded: float,
    exact: bool,
) -> dict[str, float]:
    """Write a student to ``path`` and what is known of it to ``path`` + ``.json``; return both accuracies (fractions).

    The file is read again and run over ``test``: it must give each image the class that ``predictor`` gives it, and, if
    ``exact``, reach the ``recorded`` accuracy. A run that was measured under bfloat16, or on a GPU, is not ``exact``:
    its arithmetic was another one. If the check fails, nothing is left at ``path``.

    Raises:
        ExportMismatchError: the check failed.
    """
    with atomic_path(path) as part:
        FORMATS[format].write(predictor, about, part)
        given = predictions(FORMATS[format].read(part), test)
        different = int((given != predictions(predictor, test)).sum())
        accuracies = {"recorded": recorded, "exported": int((given == test.labels).sum()) / len(test.labels)}
        wrong = f", and gives {different} of {len(given)} images another class than the student" if different else ""
        if different or (exact and accuracies["exported"] != recorded):
            raise ExportMismatchError(
                f"The exported student must do as the run recorded, {100 * recorded:.2f} % on the test images, but the "
                f"{format} file reaches {100 * accuracies['exported']:.2f} %{wrong}. It was not kept: choose another "
                "`--format`, or the versions that the run was made with (in its result.json)."
            )
    text = json.dumps({**about, "format": format, "accuracy": {**accuracies, "images": len(given)}}, indent=1)
    with atomic_path(path.with_name(path.name + ".json")) as part:
        part.write_text(text + "\n", encoding="utf-8")
    return accuracies
