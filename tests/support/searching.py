"""Searches without training: a space, its points, and a runner that writes what a formula says."""

from dataclasses import dataclass, field
from pathlib import Path

from dfkd.config import RunConfig
from dfkd.overrides import with_overrides
from harness.failures import record_failure
from harness.records import read_json, read_log, write_json
from harness.search.halving import Halving
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
    ran: list = field(default_factory=list)
    trained: int = 0

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
        return Points(space, with_overrides(RunConfig(), {"seed": self.seed, **space.base}), "t", "f", None, 10)

    def run(
        self,
        trials,
        *,
        value=bowl,
        kill_before=None,
        kill_after=None,
        known=(),
        objectives=("accuracy",),
        asha=None,
        kill_at=None,
        **limits,
    ):
        """Search until ``trials``, with cells that come out as ``value`` says; return the study's trials.

        ``kill_before`` and ``kill_after`` end it as a kill would, before or after the cell of that number in this call.
        An exception of ``value`` is a failed cell. ``asha`` is the epochs of a run and the grace; ``kill_at`` then ends
        it in the cell of that number, after the epoch, before or after the search is told of it.
        """
        self.ran, self.trained = [], 0
        chosen = tuple(OBJECTIVES[name] for name in objectives)
        with open_study(
            self.root / "studies/s", space=self.points.space, directions=[each.direction for each in chosen]
        ) as study:
            search = Search(
                study,
                self.points,
                self.store,
                objectives=chosen,
                sampler=self.sampler,
                seed=self.seed,
                limits=Limits(trials, **limits),
                halving=Halving(epochs=asha[0], grace=asha[1]) if asha else None,
            )
            search.take_over(known)
            while (cell_id := search.next_cell()) is not None:
                if len(self.ran) == kill_before:
                    raise Killed
                self.ran.append(cell_id)
                try:
                    reached = value(read_json(self.store.cell(cell_id) / "config.json")["config"])
                    if asha:
                        self.train(search, cell_id, reached, asha[0], kill_at)
                    else:
                        finish(self.store, cell_id, reached)
                except RuntimeError as error:
                    record_failure(self.store, cell_id, error=f"RuntimeError: {error}", trace="")
                if len(self.ran) == kill_after:
                    raise Killed
                search.done(cell_id)
            self.stopped = search.stopped
            return study.trials

    def complete(self, cell_id, value, epochs):
        """Train a cell to its end, as a grid would."""
        self.train(None, cell_id, value, epochs, None)

    def train(self, search, cell_id, value, epochs, kill_at):
        """Train as a run does that comes to ``value`` along a straight line: from where its log ends, if it has one."""
        log = RunLog(self.store.cell(cell_id))
        for epoch in range(1, epochs + 1):
            if epoch > len(read_log(self.store.cell(cell_id))):
                self.trained += 1
            record = {"epoch": epoch, "validation_accuracy": value * epoch / epochs, "time": float(epoch)}
            log.append(record)
            if kill_at == (len(self.ran), epoch, "before"):
                raise Killed
            stops = search is not None and search.report(cell_id, record)
            if kill_at == (len(self.ran), epoch, "after"):
                raise Killed
            if stops:
                return
        write_json(self.store.cell(cell_id) / "result.json", {"last": 0.1, "finished": 0.0})


def points(trials):
    """Return what each trial tried."""
    return [trial.params for trial in trials]


def states(trials):
    """Return what became of each trial."""
    return [trial.state for trial in trials]
