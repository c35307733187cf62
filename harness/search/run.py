"""A search from its options to its end: everything is checked before the first trial is asked for."""

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from dfkd import NUMERICS
from dfkd.errors import ConfigError
from dfkd.evaluation import load_validation_images
from dfkd.overrides import changed, with_overrides
from harness.devices import slow_arithmetic
from harness.driver import RETRIES, Prepared, prepare, run_plan
from harness.engines import engine_sentences
from harness.executors.feed import Feed
from harness.inputs import EAGER, Execution, Where, teacher_command
from harness.layers import refuse_shared_keys
from harness.live import driving, plans_of_others
from harness.mirror import Mirror, default_uri
from harness.passes import passes_of
from harness.plan import digest, expand
from harness.room import Room
from harness.search.again import Again
from harness.search.conclude import count_trials
from harness.search.halving import Halving
from harness.search.known import Known, known_cells, seed_noise
from harness.search.loop import Limits, Search
from harness.search.objectives import OBJECTIVES, Objective, read_values
from harness.search.points import Points, grid_of
from harness.search.rebuild import note_search
from harness.search.study import Study, open_study
from harness.search.view import SearchView, describe_search
from harness.store import Store
from harness.watch import Watch
from search_spaces import Space, load_grid

Stream = Callable[[Feed, Where, Room], Room]
"""One of ``harness.executors.STREAMS``."""


@dataclass(frozen=True)
class Task:
    """What is trained, besides the space."""

    dataset: str
    budget: str | None
    """None for the data set's own."""
    seed: int
    """Of every trial's run, and of the suggestions."""
    settings: Mapping[str, Any]
    """Overrides of the configuration."""
    data_root: Path | None
    teacher: Path | None
    """The teacher's checkpoint; None for the store's own."""
    match_budget: bool = False
    """Whether every trial is given as many rounds as make it cost what the settings as they are cost."""


@dataclass(frozen=True)
class Runner:
    """What runs the trials. Nothing in here changes what a trial is."""

    executor: str
    device: str
    room: Room
    """Of a trial."""
    tracking_uri: str | None
    """Of MLflow; None for SQLite in the store."""
    console: Console
    execution: Execution = EAGER
    retries: int = RETRIES
    """How often a cell that fails is tried again."""

    def run(self, prepared: Prepared, task: Task, *, store: Store) -> None:
        """Run a grid's missing cells, as ``dfkd ablate`` does."""
        run_plan(
            prepared,
            store=store,
            data_root=task.data_root,
            device=self.device,
            executor=self.executor,
            room=self.room,
            tracking_uri=self.tracking_uri,
            console=self.console,
            execution=self.execution,
            retries=self.retries,
        )


@dataclass(frozen=True)
class PreparedSearch:
    """A search whose teacher, images and space have been found and checked."""

    task: Task
    prepared: Prepared
    points: Points
    objectives: tuple[Objective, ...]
    name: str
    """Of the study: the space's name and a hash of everything outside the space."""

    def values_of(self, store: Store, cell_id: str) -> tuple[float, ...] | None:
        """Return the objectives of a finished cell; None if one is missing or not finite."""
        values = read_values(store, cell_id, self.objectives, classes=self.points.classes)
        good = tuple(value for value in values if value is not None and math.isfinite(value))
        return good if len(good) == len(values) else None


def prepare_grid(path: Path, task: Task, seeds: tuple[int, ...], *, store: Store) -> Prepared:
    """Return the plan of a grid of a space's points, with the task's images, teacher, budget and settings."""
    request = expand(
        load_grid(str(path)),
        dataset=task.dataset,
        budget=task.budget,
        seeds=seeds,
        settings=task.settings,
        match_budget=task.match_budget,
    )
    return prepare(
        request, store=store, data_root=task.data_root, teacher=task.teacher, teacher_needed=True, cache=True
    )


def prepare_search(
    space: Space, task: Task, *, objectives: tuple[Objective, ...], store: Store, purpose: str | None = None
) -> PreparedSearch:
    """Return the search with every end and choice of its space checked.

    One with a ``purpose`` has a study of its own, apart from that of the same search without it or for another.

    Raises:
        UserError: images or teacher are missing or unsuitable, or the space breaks a rule.
        SpaceError: an unknown budget, or a malformed file.
    """
    refuse_shared_keys({**space.base, **dict.fromkeys(space.keys)}, space.path, "the trials of a search")
    for key in space.keys:
        if key == "method":
            raise ConfigError(
                f"{space.path} must not search `method`, which alone is but a name: its preset is applied once. Search "
                "the method of `[base]`, or of `--set method=...`."
            )
        if key in task.settings:
            raise ConfigError(
                f"`--set` must leave what is searched alone, but `{key}` is set, and {space.path} searches it. Edit a "
                "copy of the file."
            )
    request = expand(
        grid_of(space),
        dataset=task.dataset,
        budget=task.budget,
        seeds=(task.seed,),
        settings=task.settings,
        match_budget=task.match_budget,
    )
    base = with_overrides(request.base, {"seed": task.seed})
    if OBJECTIVES["accuracy"] in objectives and base.data.validation_fraction == 0:
        kept = {**task.settings, "data.validation_fraction": 0.1}
        aside = with_overrides(base, {"data.validation_fraction": 0.1})
        raise ConfigError(
            "`data.validation_fraction` must be > 0 to search on validation accuracy, but it is 0, and the test split "
            "chooses nothing. Keep a tenth of the training images from the teacher, with "
            "`--set data.validation_fraction=0.1` here and in: "
            f"{teacher_command(aside, kept, store=store.root, data_root=task.data_root)}. Or search without any real "
            "image: `--objectives agreement`."
        )
    prepared = prepare(
        request, store=store, data_root=task.data_root, teacher=task.teacher, teacher_needed=True, cache=True
    )
    cells = list(prepared.cells.values())
    shown = next((cell.train_fingerprint for cell in cells if cell.train_fingerprint), None)
    classes = int(prepared.plan.context["classes"])
    passes = passes_of(base) if task.match_budget else None
    points = Points(space, base, cells[0].teacher_hash, cells[0].test_fingerprint, shown, classes, passes)
    kept_aside = None
    if base.data.validation_fraction > 0:
        kept_aside = load_validation_images(base.data, root=task.data_root, cache=store.cache).fingerprint
    outside = [changed(base, ("",)), points.teacher_hash, points.test_fingerprint, kept_aside, NUMERICS]
    outside += [purpose] if purpose else []
    outside += ["matched"] if task.match_budget else []
    name = f"{space.name}-{digest([*outside, [objective.name for objective in objectives]])[:8]}"
    return PreparedSearch(task, prepared, points, objectives, name)


def noise_of(
    search: PreparedSearch, store: Store, *, patience: int | None, noise: float | None, kept: Collection[int] = ()
) -> float:
    """Return what a seed moves: ``noise`` if given, else what the store shows of cells run with several seeds.

    The seeds ``kept`` for a confirmation are left out.

    Raises:
        ConfigError: it is needed for ``patience`` and unknown, or there are several objectives.
    """
    if patience is None:
        return 0.0
    if len(search.objectives) > 1:
        raise ConfigError("`--patience` must go with one objective, but there are several. Leave it out.")
    if noise is not None:
        return noise
    known = known_cells(store, search.points, search.objectives)
    seen = seed_noise([one for one in known if one.seed not in kept], search.points)
    if seen is None:
        raise ConfigError(
            "`--patience` must know what a seed alone moves, but the store has no point of the space that was run with "
            "two seeds. Give its standard deviation with `--noise`, 0.01 for a point of accuracy, say."
        )
    return seen


def run_search(
    asked: PreparedSearch,
    runner: Runner,
    *,
    store: Store,
    limits: Limits,
    sampler: str,
    grace: int | None = None,
    known: Sequence[Known] | None = (),
) -> tuple[Study, str | None]:
    """Run the search to its limits; return its study, and why it stopped early if it did.

    The study begins with the finished cells of the store, and with those ``known`` from MLflow that are not among them;
    with neither if ``known`` is None.
    With a ``grace``, runs that are no good after so many epochs, or three times as many and so on, are stopped there.

    KeyboardInterrupt passes through, after the workers have stopped; what was under way then is continued by the next
    call. A cell that fails is run again as in a grid; only one that keeps failing ends its trial, without a value.
    """
    from harness.executors import STREAMS  # here, because Ray takes seconds to import

    base, prepared = asked.points.base, asked.prepared
    warning = slow_arithmetic(base, runner.device)
    if warning:
        runner.console.print(f"[yellow]{warning}[/yellow]")
    threads = max(1, int(runner.room.cpus))
    where = Where(
        store.root,
        asked.task.data_root,
        prepared.teachers,
        runner.device,
        threads,
        runner.execution,
    )
    space = asked.points.space
    about = describe_search(asked.name, space, objectives=asked.objectives, seed=base.seed)
    context = {**prepared.plan.context, "search": about}
    plan = replace(prepared.plan, key=asked.name, grid=f"search-{space.name}", title=space.title, context=context)
    folder = store.root / "studies" / asked.name
    note_search(store, asked.name, asked.points, objectives=[objective.name for objective in asked.objectives])
    directions = [objective.direction for objective in asked.objectives]
    with open_study(folder, space=space, directions=directions) as study:
        view = SearchView(
            study,
            plan,
            objectives=asked.objectives,
            trials=limits.trials,
            epochs=base.schedule.epochs,
            store=store,
            console=runner.console,
        )
        search = Search(
            study,
            asked.points,
            store,
            objectives=asked.objectives,
            sampler=sampler,
            seed=base.seed,
            limits=limits,
            halving=Halving(epochs=base.schedule.epochs, grace=grace) if grace is not None else None,
            again=Again(store, retries=runner.retries, say=lambda text: runner.console.print(text, markup=False)),
            changed=view.changed,
        )
        if known is not None:
            search.take_over(known_cells(store, asked.points, asked.objectives))
            search.take_over(known, source="MLflow")
        uri = runner.tracking_uri or default_uri(store)
        watch = Watch(
            lambda: view.plan,
            view=view,
            open_mirror=lambda: Mirror.hold(uri, store),
            others=lambda: plans_of_others(store, uri),
        )
        with driving(store, plan=plan.key, tracking_uri=uri), watch:
            run_stream(STREAMS[runner.executor], search, where, runner.room)
            view.ended(count_trials(study))
        for sentence in engine_sentences(store, [trial.user_attrs["cell"] for trial in study.own if trial.values]):
            runner.console.print(sentence, markup=False)
        if watch.mirror_error:
            runner.console.print(
                f"[yellow]MLflow was not written: {watch.mirror_error}[/yellow]\n"
                f"The results are safe in {store.root}; the same command mirrors them once MLflow can be reached."
            )
        return study, search.stopped


def run_stream(stream: Stream, search: Search, where: Where, room: Room) -> None:
    """Run the search's cells until none is left, nor any to be run again, each time in the room that they need then."""
    whole = stream(search, where, room)
    while not search.again.is_over:
        room = search.again.gather(room, whole)
        whole = stream(search, where, room)


def deadline(hours: float | None) -> float:
    """Return the moment, of ``time.monotonic()``, that is so many hours away; infinity without any."""
    return math.inf if hours is None else time.monotonic() + 3600 * hours
