"""What is seen of a search: a line for each trial that ends, a bar of all, and the plan of the cells asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.markup import escape

from harness.progress import new_progress
from harness.records import Plan, PlannedCell, read_log, write_plan
from harness.search.objectives import Objective
from harness.search.ranking import best_trials
from harness.search.study import UNFINISHED, Study
from harness.store import Store
from search_spaces import Space


def show_point(point: Mapping[str, object]) -> str:
    """Return the values of a point in one line, without the first part of their keys."""
    return "  ".join(f"{key.partition('.')[2]}={value}" for key, value in point.items())


def show_values(values: Sequence[float] | None, objectives: Sequence[Objective]) -> str:
    """Return a trial's values in one line."""
    return ", ".join(objective.show(value) for objective, value in zip(objectives, values or [], strict=False))


def describe_search(study: str, space: Space, *, objectives: Sequence[Objective], seed: int) -> dict[str, Any]:
    """Return what the plan of a search says of it as ``context["search"]``, before its first trial."""
    parameters = {
        parameter.key: ", ".join([str(parameter.domain), *(f"when {each}" for each in parameter.when)])
        for parameter in space.parameters
    }
    names = [objective.name for objective in objectives]
    about = {"study": study, "space": space.name, "objectives": names, "seed": seed, "parameters": parameters}
    return {**about, "trials": [], "ended": None}


STATES = {
    TrialState.COMPLETE: "done",
    TrialState.FAIL: "failed",
    TrialState.PRUNED: "stopped",
    UNFINISHED: "under way",
}
"""What becomes of a trial, in the words of its plan."""


def _told(trial: FrozenTrial) -> dict[str, Any]:
    moment = trial.datetime_complete
    return {
        "index": trial.user_attrs["index"],
        "cell": trial.user_attrs["cell"],
        "state": STATES[trial.state],
        "values": trial.values if trial.state == TrialState.COMPLETE else None,
        "time": round(moment.timestamp() * 1000) if moment else None,
    }


class SearchView:
    """Shows a search on ``console``. The thread that searches calls ``changed``, the watching one the rest."""

    def __init__(
        self,
        study: Study,
        plan: Plan,
        *,
        objectives: Sequence[Objective],
        trials: int,
        epochs: int,
        store: Store,
        console: Console,
    ) -> None:
        self.plan = replace(plan, rows=(), cells=())
        """The cells of all own trials so far, a row each; ``context["search"]`` says what became of them."""
        self._study, self._objectives, self._trials, self._epochs = study, objectives, trials, epochs
        self._store, self._console = store, console
        self._running: tuple[str, ...] = ()
        self._rank = "best so far" if len(objectives) == 1 else "on the Pareto front"
        self._progress = new_progress(console)
        self._bar = self._progress.add_task("[bold]trials[/bold]", total=trials, note="starting")
        self._refresh()
        if console.is_terminal:
            self._progress.start()

    def changed(self, trial: FrozenTrial) -> None:
        """Take notice of a trial that was added or has ended."""
        self._refresh()
        if trial.state == UNFINISHED:
            return
        ended = f"[{self._ended}/{self._trials}]"
        if trial.state == TrialState.FAIL:
            what = f"[red]failed[/red]  {escape(str(trial.user_attrs['failure'])[:200])}"
        elif trial.state == TrialState.PRUNED:
            epoch = f"stopped after epoch {trial.last_step} of {self._epochs}"
            what = f"{show_values(trial.values, self._objectives)} there  {epoch}"
        else:
            notes = ["from the store"] if trial.user_attrs.get("answered") else []
            notes += [self._rank] if trial in self._front else []
            what = "  ".join((show_values(trial.values, self._objectives), ", ".join(notes)))
        name = f"trial {trial.user_attrs['index']}"
        self._console.print(f"{ended:>9}  {name:<10} {what}  {escape(show_point(trial.params))}", highlight=False)

    def _refresh(self) -> None:
        own = [trial for trial in self._study.own if "cell" in trial.user_attrs]
        search = {**self.plan.context["search"], "trials": [_told(trial) for trial in own]}
        self._front = best_trials(self._study.trials, self._objectives)
        self._ended = sum(trial.state.is_finished() for trial in self._study.own)
        self._running = tuple({trial.user_attrs["cell"] for trial in own if trial.state == UNFINISHED})
        seed = self.plan.seeds[0]
        cells = tuple(PlannedCell(t.user_attrs["cell"], f"trial {t.user_attrs['index']}", seed) for t in own)
        if cells and search != self.plan.context["search"]:
            rows = tuple(cell.row for cell in cells)
            context = {**self.plan.context, "search": search}
            self.plan = replace(self.plan, rows=rows, reference=rows[0], cells=cells, context=context)
            write_plan(self._store.root, self.plan)

    def ended(self, summary: str) -> None:
        """Note that the search has come to its end, and what came out in a sentence."""
        search = {**self.plan.context["search"], "ended": summary}
        self.plan = replace(self.plan, context={**self.plan.context, "search": search})
        if self.plan.cells:
            write_plan(self._store.root, self.plan)

    def update(self) -> None:
        """Show how far the running cells are."""
        done = [len(read_log(self._store.cell(cell_id))) for cell_id in self._running]
        notes = [f"epochs {', '.join(map(str, sorted(done)))} of {self._epochs}"] if done else []
        if self._front and len(self._objectives) == 1:
            notes.append(f"best {show_values(self._front[0].values, self._objectives)}")
        elif self._front:
            notes.append(f"{len({tuple(trial.values) for trial in self._front})} on the Pareto front")
        self._progress.update(self._bar, completed=self._ended, note=", ".join(notes))

    def close(self) -> None:
        """Take the bar off the screen."""
        if self._console.is_terminal:
            self._progress.stop()
