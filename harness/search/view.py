"""What is seen of a search: a line for each trial that ends, a bar of all, and the plan of the cells asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.markup import escape

from harness.progress import new_progress
from harness.records import Plan, PlannedCell, read_log, write_plan
from harness.search.objectives import Objective
from harness.search.study import UNFINISHED, Study
from harness.store import Store


def show_point(point: Mapping[str, object]) -> str:
    """Return the values of a point in one line, without the first part of their keys."""
    return "  ".join(f"{key.partition('.')[2]}={value}" for key, value in point.items())


def show_values(values: Sequence[float] | None, objectives: Sequence[Objective]) -> str:
    """Return a trial's values in one line."""
    return ", ".join(objective.show(value) for objective, value in zip(objectives, values or [], strict=False))


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
        """The cells of all own trials so far, a row each."""
        self._study, self._objectives, self._trials, self._epochs = study, objectives, trials, epochs
        self._store, self._console = store, console
        self._running: tuple[str, ...] = ()
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
        else:
            source = "from the store" if trial.user_attrs.get("answered") else ""
            what = f"{show_values(trial.values, self._objectives)}  {source}"
        name = f"trial {trial.user_attrs['index']}"
        self._console.print(f"{ended:>9}  {name:<10} {what}  {escape(show_point(trial.params))}", highlight=False)

    def _refresh(self) -> None:
        own = [trial for trial in self._study.own if "cell" in trial.user_attrs]
        self._ended = sum(trial.state.is_finished() for trial in self._study.own)
        self._running = tuple({trial.user_attrs["cell"] for trial in own if trial.state == UNFINISHED})
        seed = self.plan.seeds[0]
        cells = tuple(PlannedCell(t.user_attrs["cell"], f"trial {t.user_attrs['index']}", seed) for t in own)
        if cells and cells != self.plan.cells:
            rows = tuple(cell.row for cell in cells)
            self.plan = replace(self.plan, rows=rows, reference=rows[0], cells=cells)
            write_plan(self._store.root, self.plan)

    def update(self) -> None:
        """Show how far the running cells are."""
        done = [len(read_log(self._store.cell(cell_id))) for cell_id in self._running]
        note = f"epochs {', '.join(map(str, sorted(done)))} of {self._epochs}" if done else ""
        self._progress.update(self._bar, completed=self._ended, note=note)

    def close(self) -> None:
        """Take the bar off the screen."""
        if self._console.is_terminal:
            self._progress.stop()
