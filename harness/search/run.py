"""A search from its options to its end: everything is checked before the first trial is asked for."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from dfkd import NUMERICS
from dfkd.errors import ConfigError
from dfkd.evaluation import load_validation_images
from dfkd.overrides import changed, with_overrides
from harness.driver import Prepared, prepare
from harness.engines import engine_sentences
from harness.inputs import EAGER, Execution, Where, slow_arithmetic, teacher_command
from harness.live import driving, plans_of_others
from harness.mirror import Mirror, default_uri
from harness.plan import digest, expand
from harness.room import Room
from harness.search.known import known_cells, seed_noise
from harness.search.loop import Limits, Search
from harness.search.objectives import OBJECTIVES, Objective
from harness.search.points import Points, grid_of
from harness.search.rebuild import note_search
from harness.search.study import Study, open_study
from harness.search.view import SearchView
from harness.store import Store
from harness.watch import Watch
from search_spaces import Space


@dataclass(frozen=True)
class PreparedSearch:
    """A search whose teacher, images and space have been found and checked."""

    prepared: Prepared
    points: Points
    objectives: tuple[Objective, ...]
    name: str
    """Of the study: the space's name and a hash of everything outside the space."""


def prepare_search(
    space: Space,
    *,
    dataset: str,
    budget: str | None,
    seed: int,
    settings: Mapping[str, Any],
    objectives: tuple[Objective, ...],
    store: Store,
    data_root: Path | None,
    teacher: Path | None,
) -> PreparedSearch:
    """Return the search with every end and choice of its space checked.

    Raises:
        UserError: images or teacher are missing or unsuitable, or the space breaks a rule.
        SpaceError: an unknown budget, or a malformed file.
    """
    for key in space.keys:
        if key in settings:
            raise ConfigError(
                f"`--set` must leave what is searched alone, but `{key}` is set, and {space.path} searches it. Edit a "
                "copy of the file."
            )
    request = expand(grid_of(space), dataset=dataset, budget=budget, seeds=(seed,), settings=settings)
    base = with_overrides(request.base, {"seed": seed})
    if OBJECTIVES["accuracy"] in objectives and base.data.validation_fraction == 0:
        kept = {**settings, "data.validation_fraction": 0.1}
        aside = with_overrides(base, {"data.validation_fraction": 0.1})
        raise ConfigError(
            "`data.validation_fraction` must be > 0 to search on validation accuracy, but it is 0, and the test split "
            "chooses nothing. Keep a tenth of the training images from the teacher, with "
            "`--set data.validation_fraction=0.1` here and in: "
            f"{teacher_command(aside, kept, store=store.root, data_root=data_root)}. Or search without any real image: "
            "`--objectives agreement`."
        )
    prepared = prepare(request, store=store, data_root=data_root, teacher=teacher, teacher_needed=True, cache=True)
    cells = list(prepared.cells.values())
    shown = next((cell.train_fingerprint for cell in cells if cell.train_fingerprint), None)
    points = Points(space, base, cells[0].teacher_hash, cells[0].test_fingerprint, shown)
    kept_aside = None
    if base.data.validation_fraction > 0:
        kept_aside = load_validation_images(base.data, root=data_root, cache=store.cache).fingerprint
    outside = [changed(base, ("",)), points.teacher_hash, points.test_fingerprint, kept_aside, NUMERICS]
    name = f"{space.name}-{digest([*outside, [objective.name for objective in objectives]])[:8]}"
    return PreparedSearch(prepared, points, objectives, name)


def noise_of(search: PreparedSearch, store: Store, *, patience: int | None, noise: float | None) -> float:
    """Return what a seed moves: ``noise`` if given, else what the store shows of cells run with several seeds.

    Raises:
        ConfigError: it is needed for ``patience`` and unknown, or there are several objectives.
    """
    if patience is None:
        return 0.0
    if len(search.objectives) > 1:
        raise ConfigError("`--patience` must go with one objective, but there are several. Leave it out.")
    if noise is not None:
        return noise
    seen = seed_noise(known_cells(store, search.points, search.objectives), search.points)
    if seen is None:
        raise ConfigError(
            "`--patience` must know what a seed alone moves, but the store has no point of the space that was run with "
            "two seeds. Give its standard deviation with `--noise`, 0.01 for a point of accuracy, say."
        )
    return seen


def run_search(
    asked: PreparedSearch,
    *,
    store: Store,
    data_root: Path | None,
    limits: Limits,
    sampler: str,
    device: str,
    executor: str,
    room: Room,
    tracking_uri: str | None,
    console: Console,
    execution: Execution = EAGER,
) -> tuple[Study, str | None]:
    """Run the search to its limits; return its study, and why it stopped early if it did.

    KeyboardInterrupt passes through, after the workers have stopped; what was under way then is continued by the next
    call.
    """
    from harness.executors import STREAMS  # here, because Ray takes seconds to import

    base, prepared = asked.points.base, asked.prepared
    warning = slow_arithmetic(base, device)
    if warning:
        console.print(f"[yellow]{warning}[/yellow]")
    threads = max(1, int(room.cpus))
    where = Where(store.root, data_root, prepared.teacher_path.resolve(), device, threads, execution)
    plan = replace(
        prepared.plan, key=asked.name, grid=f"search-{asked.points.space.name}", title=asked.points.space.title
    )
    folder = store.root / "studies" / asked.name
    note_search(store, asked.name, asked.points, objectives=[objective.name for objective in asked.objectives])
    with open_study(folder, space=asked.points.space, objectives=len(asked.objectives)) as study:
        view = SearchView(
            study,
            plan,
            objectives=asked.objectives,
            trials=limits.trials,
            epochs=base.schedule.epochs,
            store=store,
            console=console,
        )
        search = Search(
            study,
            asked.points,
            store,
            objectives=asked.objectives,
            sampler=sampler,
            seed=base.seed,
            limits=limits,
            changed=view.changed,
        )
        search.take_over(known_cells(store, asked.points, asked.objectives))
        uri = tracking_uri or default_uri(store)
        watch = Watch(
            lambda: view.plan,
            view=view,
            open_mirror=lambda: Mirror.hold(uri, store),
            others=lambda: plans_of_others(store, uri),
        )
        with driving(store, plan=plan.key, tracking_uri=uri), watch:
            STREAMS[executor](search, where, room)
        for sentence in engine_sentences(store, [trial.user_attrs["cell"] for trial in study.own if trial.values]):
            console.print(sentence, markup=False)
        if watch.mirror_error:
            console.print(
                f"[yellow]MLflow was not written: {watch.mirror_error}[/yellow]\n"
                f"The results are safe in {store.root}; the same command mirrors them once MLflow can be reached."
            )
        return study, search.stopped


def deadline(hours: float | None) -> float:
    """Return the moment, of ``time.monotonic()``, that is so many hours away; infinity without any."""
    return math.inf if hours is None else time.monotonic() + 3600 * hours
