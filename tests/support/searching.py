"""Searches without training: a space, its points, and a runner that writes what a formula says."""

from dataclasses import dataclass
from pathlib import Path

from dfkd.config import RunConfig
from dfkd.overrides import with_overrides
from harness.failures import record_failure
from harness.records import read_json, write_json
from harness.search.loop import Limits, Search
from harness.search.objectives import OBJECTIVES
from harness.search.points import Points
from harness.search.study import open_study
from harness.store import RunLog, Store
from search_spaces import load_space

BETA, GAMMA, ORDERS = "student_loss.mhad.weight", "student_loss.sfcl.weight", "student_loss.mhad.orders"

WEIGHTS = f"""
[parameters]
"{BETA}" = {{ low = 0.0, high = 100.0, step = 1.0 }}
"{GAMMA}" = {{ low = 0.0, high = 100.0, step = 1.0 }}
"{ORDERS}" = {{ choices = ["1", "1+2", "1+2+3"], when = {{ "{BETA}" = "> 0" }} }}
"""


def bowl(config):
    """Return a value that is 1 at beta 40, gamma 20 and orders 1+2, and less elsewhere."""
    missed = 0.0 if config[ORDERS] == "1+2" else 0.1
    return 1 - ((config[BETA] - 40) / 100) ** 2 - ((config[GAMMA] - 20) / 100) ** 2 - missed


def finish(store, cell_id, value, **more):
    """Write the end of a cell as a run of one epoch would; ``value`` None leaves the validation accuracy out."""
    folder = store.cell(cell_id)
    record = {"epoch": 1, "synthetic.agreement": 0.5, "test_accuracy": 0.1, "time": 0.0}
    RunLog(folder).append(record | ({} if value is None else {"validation_accuracy": value}))
    write_json(folder / "result.json", {"last": 0.1, "images_per_second": 1.0, "finished": 0.0, **more})


class Killed(BaseException):
    """Stands for a kill."""


@dataclass
class Bench:
    """A store and everything that a search needs, without images, teacher and training."""

    root: Path
    text: str = WEIGHTS
    sampler: str = "tpe"
    seed: int = 0

    @property
    def store(self):
        """The store."""
        return Store(self.root)

    @property
    def points(self):
        """The points of the space, with the paper's defaults outside."""
        self.root.mkdir(exist_ok=True)
        path = self.root / "space.toml"
        path.write_text(self.text)
        space = load_space(str(path))
        return Points(space, with_overrides(RunConfig(), {"seed": self.seed, **space.base}), "t", "f", None)

    def run(
        self, trials, *, value=bowl, kill_before=None, kill_after=None, known=(), objectives=("accuracy",), **limits
    ):
        """Search until ``trials``, with cells that come out as ``value`` says; return the study's trials.

        ``kill_before`` and ``kill_after`` end it as a kill would, before or after the cell of that number in this call.
        An exception of ``value`` is a failed cell.
        """
        self.ran = []
        chosen = tuple(OBJECTIVES[name] for name in objectives)
        with open_study(self.root / "studies/s", space=self.points.space, objectives=len(chosen)) as study:
            search = Search(
                study,
                self.points,
                self.store,
                objectives=chosen,
                sampler=self.sampler,
                seed=self.seed,
                limits=Limits(trials, **limits),
            )
            search.take_over(known)
            while (cell_id := search.next_cell()) is not None:
                if len(self.ran) == kill_before:
                    raise Killed
                self.ran.append(cell_id)
                try:
                    finish(self.store, cell_id, value(read_json(self.store.cell(cell_id) / "config.json")["config"]))
                except RuntimeError as error:
                    record_failure(self.store, cell_id, error=f"RuntimeError: {error}", trace="")
                if len(self.ran) == kill_after:
                    raise Killed
                search.done(cell_id)
            self.stopped = search.stopped
            return study.trials


def points(trials):
    """Return what each trial tried."""
    return [trial.params for trial in trials]


def states(trials):
    """Return what became of each trial."""
    return [trial.state for trial in trials]
