"""Live progress of a grid, read from the store: cells done, best so far, time left, and a line per running cell."""

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from harness.records import Plan, read_log
from harness.store import Store


def new_progress(console: Console) -> Progress:
    """Return bars with a description, a count, a note and the time, that leave nothing on the screen."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )


class ProgressView:
    """Shows ``ids`` on ``console``: bars on a terminal, and a line for each cell that ends anywhere."""

    def __init__(
        self,
        plan: Plan,
        ids: Sequence[str],
        *,
        epochs: Mapping[str, int],
        store: Store,
        console: Console,
        each_epoch: bool = False,
    ) -> None:
        self._store, self._console, self._epochs, self._each_epoch = store, console, epochs, each_epoch
        self._names = {cell.id: f"{cell.row}, seed {cell.seed}" for cell in reversed(plan.cells)}
        self._open = list(ids)
        self._logged = {cell_id: len(read_log(store.cell(cell_id))) for cell_id in ids}
        self._before = sum(self._logged.values())
        self._start = time.monotonic()
        self._failed: dict[str, float] = {}
        failures = {cell_id: store.read(cell_id).failure for cell_id in ids}
        self._former = {cell_id: failure.get("time", 0.0) for cell_id, failure in failures.items() if failure}
        self._best: tuple[float, str] | None = None
        self._progress = new_progress(console)
        self._total = self._progress.add_task("[bold]cells[/bold]", total=len(ids), note="starting")
        self._bars: dict[str, TaskID] = {}
        if console.is_terminal:
            self._progress.start()

    def update(self) -> None:
        """Read the store and show what is new."""
        for cell_id in list(self._failed):
            failure = self._store.read(cell_id).failure
            if failure is None or failure.get("time", 0.0) != self._failed[cell_id]:  # it is being tried again
                del self._failed[cell_id]
                self._open.append(cell_id)
        for cell_id in list(self._open):
            record = self._store.read(cell_id)
            if record.epochs_done > self._logged[cell_id]:
                self._show_epochs(cell_id)
            if record.result is not None:
                accuracy, seconds = record.result["last"], timedelta(seconds=round(record.result["seconds"]))
                if self._best is None or accuracy > self._best[0]:
                    self._best = (accuracy, self._names[cell_id])
                self._end(cell_id, f"[green]done[/green]    {100 * accuracy:6.2f} %  in {seconds}")
            elif record.diverged is not None:
                self._end(cell_id, f"[yellow]diverged[/yellow]  {escape(str(record.diverged['error'])[:200])}")
            elif record.failure is not None and record.failure.get("time", 0.0) != self._former.get(cell_id):
                self._failed[cell_id] = record.failure.get("time", 0.0)
                self._end(cell_id, f"[red]failed[/red]  {escape(str(record.failure['error'])[:200])}")
        self._progress.update(self._total, completed=len(self._logged) - len(self._open), note=self._note())

    def _show_epochs(self, cell_id: str) -> None:
        log = read_log(self._store.cell(cell_id))
        new, self._logged[cell_id] = log[self._logged[cell_id] :], len(log)
        if self._each_epoch:
            for record in new:
                terms = "  ".join(f"{k} {v:.4g}" for k, v in record.items() if "_loss." in k)
                self._console.print(
                    f"epoch {record['epoch']}/{self._epochs[cell_id]}  {100 * record['test_accuracy']:.2f} %  {terms}",
                    soft_wrap=True,
                )
        if cell_id not in self._bars:
            name = f"  {escape(self._names[cell_id])}"
            self._bars[cell_id] = self._progress.add_task(name, total=self._epochs[cell_id], note="")
        note = f"epochs, {100 * log[-1]['test_accuracy']:.2f} % now"
        self._progress.update(self._bars[cell_id], completed=len(log), note=note)

    def _end(self, cell_id: str, text: str) -> None:
        self._open.remove(cell_id)
        if cell_id in self._bars:
            self._progress.remove_task(self._bars.pop(cell_id))
        ended = len(self._logged) - len(self._open)
        name = escape(self._names[cell_id])
        self._console.print(f"{f'[{ended}/{len(self._logged)}]':>9}  {name:<28} {text}", highlight=False)

    def _note(self) -> str:
        parts = []
        if self._best:
            parts.append(f"best {100 * self._best[0]:.2f} % ({escape(self._best[1])})")
        if self._failed:
            parts.append(f"[red]{len(self._failed)} failed[/red]")
        # Epochs are the unit of time: they arrive steadily from all slots at once.
        done = sum(self._logged.values()) - self._before
        if done:
            left = sum(self._epochs[cell_id] - self._logged[cell_id] for cell_id in self._open)
            parts.append(f"{timedelta(seconds=round((time.monotonic() - self._start) * left / done))} left")
        return ", ".join(parts)

    def close(self) -> None:
        """Take the bars off the screen."""
        if self._console.is_terminal:
            self._progress.stop()
