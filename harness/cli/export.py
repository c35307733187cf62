"""``dfkd export``: a finished cell's student as a file for use elsewhere."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from dfkd.errors import ExportError, ExportMismatchError
from harness.cli.options import DEFAULT_STORE, DataRootOption, StoreOption, errors, guarded
from harness.store import StoreError, cell_config, find_cell, known_store


class Format(StrEnum):
    """Names of the formats."""

    torch = "torch"
    onnx = "onnx"
    torchscript = "torchscript"


@guarded
def export(
    cell: Annotated[str, typer.Argument(metavar="CELL", help="A cell's id, or the beginning of it.")],
    output_format: Annotated[Format, typer.Option("--format", help="How the student is written.")] = Format.torch,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Where to; by default student-CELL with a suffix, in this folder."),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    data_root: DataRootOption = None,
) -> int:
    """Write a finished cell's student with its preprocessing, and check that the file does as well as the run."""
    opened = known_store(store)
    cell_id = find_cell(opened, cell)
    record = opened.read(cell_id)
    if record.result is None:
        raise StoreError(
            f"Cell {cell_id} must be finished for its student to be exported, but it is {record.status} after "
            f"{record.epochs_done} epochs. Give the command that planned it once more: it goes on from there."
        )
    from dfkd.config import RunConfig
    from dfkd.export import FORMATS, build_predictor, describe_student, export_student, require_packages
    from dfkd.files import load
    from dfkd.overrides import with_overrides
    from harness.finished import measured_images

    require_packages(output_format)
    path = out or Path(f"student-{cell_id}{FORMATS[output_format].suffix}")
    _check_writable(path)
    content = cell_config(opened, cell_id)
    config = with_overrides(RunConfig(), content["config"])
    saved = load(opened.cell(cell_id) / "student.pt", what="student's weights", way_out="Run the cell in a new store.")
    test = measured_images(opened, cell_id, config, data_root=data_root)
    about = {"cell": cell_id, "numerics": content["numerics"], **describe_student(config, test.class_names)}
    exact = config.compute.precision == "float32" and record.result["environment"]["device"] == "cpu"
    try:
        accuracies = export_student(
            build_predictor(config, saved["state"], classes=len(test.class_names)),
            about,
            format=output_format,
            path=path,
            test=test,
            recorded=record.result["last"],
            exact=exact,
        )
    except ExportMismatchError as error:
        errors.print(str(error), markup=False)
        return 1
    why = (
        ""
        if exact
        else f" (the run computed in {config.compute.precision} on {record.result['environment']['device']})"
    )
    Console(highlight=False, soft_wrap=True).print(
        f"Test accuracy {100 * accuracies['exported']:.2f} % on {len(test.labels)} images when read again, "
        f"{100 * accuracies['recorded']:.2f} % in the run{why}\n{path}\n{path}.json",
        markup=False,
    )
    return 0


def _check_writable(path: Path) -> None:
    """Raise ExportError unless a file can be written to ``path``; its folder is made."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        reason = "it is a folder" if path.is_dir() else None
    except OSError as error:
        reason = error.strerror
    if reason:
        raise ExportError(f"`--out` must name a file that can be written, but {path} is not: {reason}.")
