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
from harness.records import read_log
from harness.search.again import Again
from harness.search.halving import Halving
from harness.search.known import Known
from harness.search.objectives import Finished, Objective, read_values
from harness.search.points import Point, Points
from harness.search.ranking import complete, ranked
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
        halving: Halving | None = None,
        again: Again | None = None,
        changed: Callable[[FrozenTrial], None] = lambda trial: None,
    ) -> None:
        self.study, self.points = study, points
        self.stopped: str | None = None
        """Why no more trials were asked for, once the limit on their number was not the reason."""
        self._store, self._objectives = store, objectives
        self._sampler, self._seed, self._limits, self._changed = sampler, seed, limits, changed
        self._halving = halving
        self.again = again or Again(store, retries=0)
        """What is to be run again."""
        self._start = points.cell_of(points.base).id
        under_way = [trial for trial in study.trials if trial.state == UNFINISHED]
        self._resumed = deque(dict.fromkeys(trial.user_attrs["cell"] for trial in under_way))
        for trial in study.trials:
            self._recall(trial)

    def take_over(self, known: Sequence[Known], *, source: str = "the store") -> None:
        """Add the cells that others have finished, each once, as trials that cost nothing.

        Among them are cells that this search has stopped early.
        """
        there = {t.user_attrs.get("cell") for t in self.study.trials if t.state != TrialState.PRUNED}
        for one in known:
            if one.same_seed and one.cell_id not in there:
                notes = {"cell": one.cell_id, "origin": "warm start", "source": source}
                self.study.add(one.point, values=one.values, notes=notes)
                self._recall(self.study.trials[-1])

    def next_cell(self) -> str | None:
        """Return a cell to run, prepared, or None if there is none.

        First come those that were under way when an earlier process ended. A suggestion whose cell is finished is
        answered from the store, and the next one is asked for.
        """
        if self.again.drains:
            return None
        while self._resumed or self.again.due:
            cell_id = (self.again.due or self._resumed).popleft()
            if self.again.takes(cell_id):  # a kill came before that was noted
                return self.next_cell()
            if not self._settle(cell_id):
                return cell_id
        while not self._enough():
            cell_id = self._suggest()
            if cell_id is not None:
                return cell_id
        return None

    def done(self, cell_id: str) -> None:
        """Take a cell's value over from the store, unless it is to be run again.

        One that another process still runs stays under way.
        """
        if not self.again.takes(cell_id):
            self._settle(cell_id)

    def died(self, cell_id: str, text: str) -> None:
        """Take notice that a cell's worker ended, it may be before it could record why."""
        self.again.died(cell_id, text)

    def report(self, cell_id: str, record: Mapping[str, Any]) -> bool:
        """Take a record of a cell that runs; return whether the cell is to stop here.

        A record may come again, when a cell goes on after a kill: it moves nothing, but for the last one, about which
        nothing may have been decided. The settings as they are are never stopped.
        """
        if self._halving is None:
            return False
        waiting = [t for t in self.study.trials if t.state == UNFINISHED and t.user_attrs["cell"] == cell_id]
        epoch, value = int(record["epoch"]), self._value(record)
        if not waiting or value is None:
            return False
        stops = self._halving.stops(cell_id, epoch, value) and cell_id != self._start
        for trial in waiting:
            if epoch > (trial.last_step or 0):
                self.study.note_epoch(trial.number, epoch, value)
            if stops:
                self.study.stop(trial.number)
                self._changed(self.study.trials[trial.number])
        return stops

    def _recall(self, trial: FrozenTrial) -> None:
        """Give a trial that ran before its places in the rungs; the last epoch of one under way is yet to be judged."""
        if self._halving is None or "cell" not in trial.user_attrs:
            return
        cell_id, values = trial.user_attrs["cell"], dict(trial.intermediate_values)
        if trial.state == TrialState.COMPLETE:
            values = self._curve(cell_id)
        elif trial.state == UNFINISHED and values:
            values.pop(max(values))
        self._halving.take_in(cell_id, values)

    def _curve(self, cell_id: str) -> dict[int, float]:
        """Return the first objective after each epoch of a cell, where it was measured."""
        values = {int(record["epoch"]): self._value(record) for record in read_log(self._store.cell(cell_id))}
        return {epoch: value for epoch, value in values.items() if value is not None}

    def _value(self, record: Mapping[str, Any]) -> float | None:
        value = self._objectives[0].read(Finished(record, {}, {}, self.points.classes))
        return value if value is not None and math.isfinite(value) else None

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
        before = [trial for trial in complete(finished) if trial.number not in recent]
        if len(own) < last or not before:
            return math.inf
        objective = self._objectives[0]
        best = ranked(before, [objective])[0].values[0]
        return max([0.0, *(objective.gain(trial.values[0], best) for trial in complete(own))])

    def _suggest(self) -> str | None:
        """Add the next suggestion to the study; return its cell if it must be run."""
        point, system = self._choose()
        notes = {"origin": "suggested", "index": len(self.study.own), "sampler": self._sampler}
        try:
            cell = self.points.cell(point)
        except ConfigError as error:
            self._add(point, failure=str(error), notes=notes, system=system)
            return None
        notes |= {"cell": cell.id}
        answer = self._answer(cell.id)
        if answer is not None:
            self._add(point, **answer, notes=notes | {"answered": True}, system=system)
            self._settle(cell.id)
            return None
        prepare_cell(self._store, cell)
        self._store.forget_failure(cell.id)
        self._add(point, notes=notes | {"answered": False}, system=system)
        return cell.id

    def _choose(self) -> tuple[Point, dict[str, Any]]:
        """Return the settings as they are, if nothing is known of them, then what the sampler suggests."""
        trials, number = self.study.trials, len(self.study.own)
        start = self.points.point_of(self.points.base)
        if number == 0 and start is not None and all(trial.params != start for trial in trials):
            return start, {}
        return suggest(
            self._sampler,
            self.points.space,
            trials=trials,
            directions=[objective.direction for objective in self._objectives],
            seed=self._seed,
            number=number,
        )

    def _answer(self, cell_id: str) -> dict[str, Any] | None:
        """Return what is known of a cell, as ``Study.add`` takes it; None if the cell must be run.

        It is empty where the trial gets its value from the store, now or when the cell has ended.
        """
        same = {t.state: t for t in reversed(self.study.trials) if t.user_attrs.get("cell") == cell_id}
        if TrialState.FAIL in same:
            return {"failure": same[TrialState.FAIL].user_attrs["failure"]}
        if UNFINISHED in same or self._store.read(cell_id).ended:
            return {}
        if TrialState.COMPLETE in same:  # a run in MLflow: the store has no such cell
            return {"values": same[TrialState.COMPLETE].values}
        if TrialState.PRUNED in same and self._halving is not None:
            return {"stopped": same[TrialState.PRUNED].intermediate_values}
        return None

    def _add(self, point: Mapping[str, Any], **trial: Any) -> None:
        self.study.add(point, **trial)
        self._changed(self.study.trials[-1])

    def _read(self, cell_id: str) -> list[float | None]:
        return read_values(self._store, cell_id, self._objectives, classes=self.points.classes)

    def _settle(self, cell_id: str) -> bool:
        """End every trial that waits for the cell, if the cell has ended; return whether it has."""
        record = self._store.read(cell_id)
        if record.status == "todo":
            return False
        values = self._read(cell_id) if record.result else []
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
                    self._recall(self.study.trials[trial.number])
                self._changed(self.study.trials[trial.number])
        return True
