"""What the commands that show results share: the plan that is meant, its stale cells, and refusals as messages."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfkd.errors import UserError
from harness.plan import Request
from harness.records import Plan, ReadJson, read_json, read_plan
from harness.staleness import UNKNOWN, judge, stale_cells
from harness.store import Store, StoreError

if TYPE_CHECKING:
    import pandas as pd

    from dfkd.config import DataConfig
    from reports import Part
    from reports.sources import Source


class RefusedReportError(UserError):
    """Runs cannot be shown as asked."""


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what the reports refuse into a message for the user."""
    from reports import ReportError

    try:
        yield
    except ReportError as error:
        raise RefusedReportError(str(error)) from None


def plan_of(request: Request, store: Store, *, data_root: Path | None, teacher: Path | None) -> Plan:
    """Return the plan as it was last run, which needs neither images nor teacher to be at hand, or else a fresh one."""
    return _stored_plan(request, store, teacher) or _fresh_plan(request, store, data_root, teacher)


def _stored_plan(request: Request, store: Store, teacher: Path | None) -> Plan | None:
    return read_plan(store.root / "plans" / f"{request.key(_hash_of(teacher))}.json")


def _hash_of(teacher: Path | None) -> str | None:
    """Return the hash of a teacher that was named by its path."""
    if teacher is None:
        return None
    from dfkd.teacher import describe_teacher

    return str(describe_teacher(teacher)["hash"])


def _fresh_plan(request: Request, store: Store, data_root: Path | None, teacher: Path | None) -> Plan:
    """Return the plan of a grid that was never run here: its table shows what is missing."""
    from harness.driver import prepare

    return prepare(request, store=store, data_root=data_root, teacher=teacher, teacher_needed=False, cache=False).plan


def named_columns(where: "Source | Path", plan: Plan, *, stale: Sequence[str] = ()) -> "list[tuple[Part, str]]":
    """Return the columns of a plan with their runs, and what stands for each in a file's name: nothing for a single
    one."""
    from reports import column_parts, column_titles, file_part

    parts = column_parts(where, plan, stale=stale)
    names = [f"-{file_part(title)}" for title in column_titles(parts)] if len(parts) > 1 else [""]
    return list(zip(parts, names, strict=True))


def marked_stale(plan: Plan, store: Store, read: ReadJson = read_json) -> tuple[str, ...]:
    """Return the cells that a table marks as stale: none where the plan keeps them on purpose."""
    return () if plan.context.get("stale") == "keep" else stale_cells(store.root, plan.ids, read)


def stored_plan_in(source: "Source", request: Request, teacher: Path | None) -> Plan:
    """Return the plan of a request as ``source`` has it.

    Raises:
        ReportError: it has none.
    """
    from reports import choose_plan

    return choose_plan(source, request.grid.name, key=request.key(_hash_of(teacher)))


def marked_stale_in(plan: Plan, source: "Source") -> tuple[str, ...]:
    """Return what ``marked_stale`` does, from what ``source`` knows of the runs that are done."""
    if plan.context.get("stale") == "keep":
        return ()
    done = {cell_id: cell for cell_id, cell in source.cells(plan.ids).items() if cell.result}
    return tuple(
        cell_id
        for cell_id, cell in done.items()
        if judge(cell.result.get("trainer", [UNKNOWN]), cell.config.get("config")) == "stale"
    )


def network_costs(frame: "pd.DataFrame", plan: Plan) -> dict[str, tuple[float, float]]:
    """Return parameters and multiply-accumulates of the plan's students, at its classes and image size."""
    from dfkd.models.cost import measure

    classes, size = plan.context.get("classes"), plan.context.get("image_size")
    if not classes or not size:
        return {}
    costs = {name: measure(name, classes=classes, image_size=size)[1] for name in _students(frame, plan)}
    return {name: (cost.parameters, cost.flops) for name, cost in costs.items()}


def _students(frame: "pd.DataFrame", plan: Plan) -> list[str]:
    """Return the architectures of the students that are known."""
    named = set(frame["config.student.architecture"].dropna()) if "config.student.architecture" in frame else set()
    return sorted(named | {str(plan.context.get("student"))} - {"by row", "None"})


def all_pictures(
    plan: Plan, store: Store, *, data: "DataConfig | None" = None, data_root: Path | None = None
) -> dict[str, Any]:
    """Return real images, where they are at hand, and each row's synthetic ones, of its first seed that has some."""
    import numpy as np
    from PIL import Image

    from reports.figures import tiles

    size = int(plan.context.get("image_size") or 0)
    pictures: dict[str, Any] = {} if data is None else _real_pictures(data, store, data_root)
    for row in plan.rows if size else ():
        cells = [cell for cell in plan.cells if cell.row == row]
        path = next((path for cell in cells if (path := store.cell(cell.id) / "samples.png").exists()), None)
        if path is not None:
            with Image.open(path) as picture:
                pictures[row] = tiles(np.asarray(picture.convert("RGB")), size=size)
    return pictures


def data_of(plan: Plan, store: Store) -> "DataConfig | None":
    """Return what the cells of a stored plan say of images, None if none of them has started."""
    from dfkd.config import RunConfig
    from dfkd.overrides import with_overrides

    for cell_id in plan.ids:
        if content := read_json(store.cell(cell_id) / "config.json"):
            return with_overrides(RunConfig(), content["config"]).data
    return None


def _real_pictures(data: "DataConfig", store: Store, data_root: Path | None) -> dict[str, Any]:
    """Return test images of as many classes as there are, or nothing where they are not at hand."""
    from dfkd.evaluation import load_test_images

    try:
        test = load_test_images(data, root=data_root, cache=store.cache)
    except UserError:
        return {}
    chosen = [int((test.labels == label).nonzero()[0]) for label in range(min(8, len(test.class_names)))]
    return {"Real test images": test.images[chosen].permute(0, 2, 3, 1).numpy()}


def write_file(path: Path, content: str | bytes) -> None:
    """Write a report; raise StoreError if it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content.rstrip("\n") + "\n", encoding="utf-8")
    except OSError as error:
        raise StoreError(
            f"`--out` must name a file that can be written, but {path} is not: {error.strerror}."
        ) from None
