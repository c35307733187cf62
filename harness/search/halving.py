"""Which runs a search stops early: asynchronous successive halving, Optuna's, over what they reach epoch by epoch.

Li et al., A System for Massively Parallel Hyperparameter Tuning, 2020, arXiv:1810.05934.
"""

from collections.abc import Mapping

import optuna
from optuna.pruners import SuccessiveHalvingPruner

from dfkd.errors import ConfigError
from harness.search.objectives import Objective
from search_spaces import Space

FACTOR = 3
"""The paper's eta: of the runs that were seen at a rung, the best third goes on to three times as many epochs."""


def rungs(epochs: int, grace: int) -> tuple[int, ...]:
    """Return the epochs after which runs are judged; beyond the last one a run goes on to its end."""
    found = []
    while grace * FACTOR <= epochs:
        found.append(grace)
        grace *= FACTOR
    return tuple(found)


def check_halving(epochs: int, grace: int | None, *, space: Space, objectives: tuple[Objective, ...]) -> int:
    """Return the epochs that every run gets, a ninth of all unless ``grace`` says so.

    Raises:
        ConfigError: runs cannot be judged before their end.
    """
    if len(objectives) > 1 or not objectives[0].each_epoch:
        names = ",".join(objective.name for objective in objectives)
        raise ConfigError(
            f"`--asha` must go with one objective that is measured after every epoch, accuracy or agreement, but "
            f"`--objectives` is {names}."
        )
    if "schedule.epochs" in space.keys:
        raise ConfigError(f"`--asha` must compare runs of one length, but {space.path} searches `schedule.epochs`.")
    first = max(1, epochs // FACTOR**2) if grace is None else grace
    if not rungs(epochs, first):
        raise ConfigError(
            f"`--asha` must stop runs before a third of their epochs is over, but with a grace of {first} and {epochs} "
            "epochs there is nothing to stop. Give a smaller `--grace`, or leave `--asha` out."
        )
    return first


class Halving:
    """Judges runs by their cells. What it knows is a function of what it was told, in that order."""

    def __init__(self, *, epochs: int, grace: int) -> None:
        self._rungs = rungs(epochs, grace)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        pruner = SuccessiveHalvingPruner(min_resource=grace, reduction_factor=FACTOR)
        self._study = optuna.create_study(direction="maximize", pruner=pruner)
        self._runs: dict[str, optuna.Trial] = {}
        self._epochs: dict[str, int] = {}

    def take_in(self, cell_id: str, values: Mapping[int, float]) -> None:
        """Let a run take its places in the rungs with its ``values`` by epoch, without judging it."""
        for epoch in sorted(values):
            self.stops(cell_id, epoch, values[epoch])

    def stops(self, cell_id: str, epoch: int, value: float) -> bool:
        """Return whether a run stops after ``epoch``; an epoch that was told before stops nothing."""
        if cell_id not in self._runs:
            self._runs[cell_id], self._epochs[cell_id] = self._study.ask(), 0
        if epoch <= self._epochs[cell_id]:
            return False
        self._epochs[cell_id] = epoch
        run = self._runs[cell_id]
        run.report(value, epoch)
        return run.should_prune() and epoch in self._rungs
