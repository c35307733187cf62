"""The search as a feed of cells: an executor asks for the next one whenever a slot is free, and tells of each end."""

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from dfkd.errors import ConfigError
from harness.cells import prepare_cell
from harness.search.known import Known
from harness.search.objectives import Objective, read_values
from harness.search.points import Points
from harness.search.study import UNFINISHED, Study
from harness.search.suggest import suggest
from harness.store import Store


@dataclass(frozen=True)
class Limits:
    """When to ask no more. What is under way then is finished."""

    trials: int
    """Own trials of the study, of this invocation and earlier ones, failed and answered ones included."""
    patience: int | None = None
    """Stop when so many finished own trials, the last ones, made the best better by no more than ``noise``."""
    noise: float = 0.0
    """What a seed moves."""
    deadline: float = math.inf
    """Of ``time.monotonic()``."""


class Search:
    """The one writer of a study, in one thread. ``changed`` is told of every trial that is added or ends."""

    def __init__(
        self,
        study: Study,
        points: Points,
        store: Store,
        *,
        objectives: Sequence[Objective],
        sampler: str,
        seed: int,
        limits: Limits,
        changed: Callable[[FrozenTrial], None] = lambda trial: None,
    ) -> None:
        self.study, self.points = study, points
        self.stopped: str | None = None
        """Why no more trials were asked for, once the limit on their number was not the reason."""
        self._store, self._objectives = store, objectives
        self._sampler, self._seed, self._limits, self._changed = sampler, seed, limits, changed
        under_way = [trial for trial in study.trials if trial.state == UNFINISHED]
        self._resumed = deque(dict.fromkeys(trial.user_attrs["cell"] for trial in under_way))

    def take_over(self, known: Sequence[Known]) -> None:
        """Add the cells that others have finished, each once, as trials that cost nothing."""
        there = {trial.user_attrs.get("cell") for trial in self.study.trials}
        for one in known:
            if one.same_seed and one.cell_id not in there:
                self.study.add(one.point, values=one.values, notes={"cell": one.cell_id, "origin": "warm start"})

    def next_cell(self) -> str | None:
        """Return a cell to run, prepared, or None if there is none.

        First come those that were under way when an earlier process ended. A suggestion whose cell is finished is
        answered from the store, and the next one is asked for.
        """
        while self._resumed:
            cell_id = self._resumed.popleft()
            if not self._settle(cell_id):
                return cell_id
        while not self._enough():
            cell_id = self._suggest()
            if cell_id is not None:
                return cell_id
        return None

    def done(self, cell_id: str) -> None:
        """Take a cell's value over from the store. One that another process still runs stays under way."""
        self._settle(cell_id)

    def _enough(self) -> bool:
        own = self.study.own
        if len(own) >= self._limits.trials:
            return True
        if time.monotonic() >= self._limits.deadline:
            self.stopped = "the time budget is spent"
        elif self._limits.patience is not None and self._gain(self._limits.patience) <= self._limits.noise:
            gain = self._objectives[0].show(self._limits.noise)
            self.stopped = f"the last {self._limits.patience} trials brought no more than the seed noise, {gain}"
        return self.stopped is not None

    def _gain(self, last: int) -> float:
        """Return by how much the ``last`` finished own trials made the best better; infinite before there are more."""
        finished = [trial for trial in self.study.trials if trial.state.is_finished()]
        own = [trial for trial in finished if trial.user_attrs["origin"] == "suggested"][-last:]
        recent = {trial.number for trial in own}
        before = [trial.values[0] for trial in finished if trial.values and trial.number not in recent]
        if len(own) < last or not before:
            return math.inf
        return max([0.0, *(trial.values[0] - max(before) for trial in own if trial.values)])

    def _suggest(self) -> str | None:
        """Add the next suggestion to the study; return its cell if it must be run."""
        trials, number = self.study.trials, len(self.study.own)
        start = self.points.point_of(self.points.base)
        system: dict[str, Any] = {}
        if number == 0 and start is not None and all(trial.params != start for trial in trials):
            point = start
        else:
            point, system = suggest(
                self._sampler,
                self.points.space,
                trials=trials,
                objectives=len(self._objectives),
                seed=self._seed,
                number=number,
            )
        notes = {"origin": "suggested", "index": number, "sampler": self._sampler}
        try:
            cell = self.points.cell(point)
        except ConfigError as error:
            self._add(point, failure=str(error), notes=notes, system=system)
            return None
        same = [trial for trial in trials if trial.user_attrs.get("cell") == cell.id]
        notes |= {"cell": cell.id}
        failed = next((trial for trial in same if trial.state == TrialState.FAIL), None)
        if failed is not None:
            self._add(point, failure=failed.user_attrs["failure"], notes=notes | {"answered": True}, system=system)
            return None
        waiting = any(trial.state == UNFINISHED for trial in same)
        answered = waiting or self._store.read(cell.id).ended
        if not answered:
            prepare_cell(self._store, cell)
            self._store.forget_failure(cell.id)
        self._add(point, notes=notes | {"answered": answered}, system=system)
        if not waiting and answered:
            self._settle(cell.id)
        return None if answered else cell.id

    def _add(self, point: Mapping[str, Any], **trial: Any) -> None:
        self.study.add(point, **trial)
        self._changed(self.study.trials[-1])

    def _settle(self, cell_id: str) -> bool:
        """End every trial that waits for the cell, if the cell has ended; return whether it has."""
        record = self._store.read(cell_id)
        if record.status == "todo":
            return False
        values = read_values(self._store, cell_id, self._objectives) if record.result else []
        good = [value for value in values if value is not None and math.isfinite(value)]
        for trial in self.study.trials:
            if trial.state == UNFINISHED and trial.user_attrs["cell"] == cell_id:
                if record.result is None:
                    self.study.fail(trial.number, str((record.failure or record.diverged or {})["error"]))
                elif len(good) < len(self._objectives):
                    named = zip(self._objectives, values, strict=True)
                    self.study.fail(trial.number, ", ".join(f"{each.title} is {value}" for each, value in named))
                else:
                    self.study.tell(trial.number, good)
                self._changed(self.study.trials[trial.number])
        return True
