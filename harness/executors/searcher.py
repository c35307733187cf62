"""Ray Tune's view of a feed of cells: a search algorithm that suggests a cell's id, and a scheduler that passes on what
the feed says of each epoch. Neither keeps anything."""

from collections.abc import Callable
from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from harness.executors.feed import Feed


class FeedSearcher(Searcher):
    """Passes the feed's cells to Tune. Copies and pickles of it, which Tune makes for a restore, are empty."""

    def __init__(self, feed: Feed | None = None, ended: Callable[[str], None] = lambda cell_id: None) -> None:
        super().__init__()
        self._feed, self._ended = feed, ended
        self._cells: dict[str, str] = {}

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return (FeedSearcher, ())

    def suggest(self, trial_id: str) -> Any:
        """Return the configuration of the next trial, or Tune's word for the end."""
        cell_id = self._feed.next_cell() if self._feed else None
        if cell_id is None:
            return Searcher.FINISHED
        self._cells[trial_id] = cell_id
        return {"cell": cell_id}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the feed that the trial's cell has ended."""
        cell_id = self._cells.pop(trial_id, None)
        if cell_id is not None and self._feed:
            self._ended(cell_id)
            self._feed.done(cell_id)

    def save(self, checkpoint_path: str) -> None:
        """Write nothing: the study is the harness's."""

    def restore(self, checkpoint_path: str) -> None:
        """Read nothing: the study is the harness's."""


class FeedScheduler(FIFOScheduler):
    """Stops a trial where the feed says so. Copies and pickles of it stop nothing."""

    def __init__(self, feed: Feed | None = None) -> None:
        super().__init__()
        self.stopped: set[str] = set()
        """Cells of trials that were stopped."""
        self.errors: dict[str, str] = {}
        """What Tune says of trials that failed, by their cells."""
        self._feed = feed

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return (FeedScheduler, ())

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Return Tune's word for going on or for the end."""
        cell_id = trial.config["cell"]
        self.stopped.discard(cell_id)  # it may have been run again
        if self._feed is None or not self._feed.report(cell_id, result):
            return TrialScheduler.CONTINUE
        self.stopped.add(cell_id)
        return TrialScheduler.STOP

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Keep what is known of a failed trial."""
        self.errors[trial.config["cell"]] = str(trial.get_error() or "no more is known")
