"""Studies made anew from the store: from the plan of each search, its cells, and what it noted of itself.

<store>/studies/<name>/search.json    space, objectives and base of the search, written before its first trial
"""

import math
from collections.abc import Iterator
from typing import Any

from dfkd.config import RunConfig
from dfkd.errors import UserError
from dfkd.overrides import flatten, with_overrides
from harness.records import read_json, read_plan, write_json
from harness.search.objectives import parse_objectives, read_values
from harness.search.points import Points
from harness.search.study import Study, open_study
from harness.store import Store
from search_spaces import load_space


def note_search(store: Store, name: str, points: Points, *, objectives: list[str]) -> None:
    """Write what ``rebuild_studies`` needs to know of a search."""
    folder = store.root / "studies" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "space.toml").write_text(points.space.path.read_text())
    about: dict[str, Any] = {
        "space": points.space.name,
        "objectives": objectives,
        "base": flatten(points.base),
        "teacher_hash": points.teacher_hash,
        "test_fingerprint": points.test_fingerprint,
        "train_fingerprint": points.train_fingerprint,
        "classes": points.classes,
        "passes": points.passes,
    }
    write_json(folder / "search.json", about)


def rebuild_studies(store: Store, moment: str) -> Iterator[tuple[str, str]]:
    """Make the journal of every study anew, the former one kept beside it; yield each name and what came of it."""
    for folder in sorted((store.root / "studies").glob("*/")):
        about, plan = read_json(folder / "search.json"), read_plan(store.root / "plans" / f"{folder.name}.json")
        if about is None or plan is None:
            yield folder.name, "left as it is: it does not say of which space it is; `dfkd search` takes its cells over"
            continue
        points = Points(
            load_space(str(folder / "space.toml")),
            with_overrides(RunConfig(), about["base"]),
            about["teacher_hash"],
            about["test_fingerprint"],
            about["train_fingerprint"],
            about["classes"],
            about.get("passes"),
        )
        journal = folder / "journal.log"
        if journal.exists():
            journal.replace(folder / f"journal.log.before-{moment}")
        objectives = parse_objectives(",".join(about["objectives"]))
        directions = [objective.direction for objective in objectives]
        with open_study(folder, space=points.space, directions=directions) as study:
            for cell in plan.cells:
                _add(study, store, points, cell_id=cell.id, index=int(cell.row.split()[-1]), names=about["objectives"])
            yield folder.name, f"{len(study.trials)} trials from the store"


def _add(study: Study, store: Store, points: Points, *, cell_id: str, index: int, names: list[str]) -> None:
    """Add the trial that ran a cell, with what came out of it; one under way goes on with the next search."""
    content, record = read_json(store.cell(cell_id) / "config.json"), store.read(cell_id)
    if content is None:
        return
    try:
        point = points.point_of(with_overrides(RunConfig(), content["config"]))
    except UserError:  # written by a version that had other fields
        return
    if point is None:
        return
    notes = {"cell": cell_id, "origin": "suggested", "index": index, "sampler": "rebuilt"}
    objectives = parse_objectives(",".join(names))
    if record.result is not None:
        found = read_values(store, cell_id, objectives, classes=points.classes)
        values = [value for value in found if value is not None]
        if len(values) == len(objectives) and all(map(math.isfinite, values)):
            study.add(point, values=values, notes=notes)
        else:
            study.add(point, failure="an objective has no finite value", notes=notes)
    elif end := record.diverged or record.failure:
        study.add(point, failure=str(end["error"]), notes=notes)
    else:
        study.add(point, notes=notes)
