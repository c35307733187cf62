"""The full state of a run, so that a resumed one equals one that never stopped."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torchvision.utils import make_grid

from dfkd import NUMERICS
from dfkd.config import RunConfig
from dfkd.errors import CheckpointError, DamagedStateError
from dfkd.files import load, save
from dfkd.overrides import canonical
from dfkd.synthesis.kinds import KINDS
from dfkd.teacher import Teacher


def _identity(config: RunConfig, teacher: Teacher) -> dict[str, Any]:
    return {"config": canonical(config), "teacher": teacher.hash, "numerics": NUMERICS}


@runtime_checkable
class Resumable(Protocol):
    """What a run trains."""

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the rest of the run depends on, with the student's weights as ``student``."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Return to a state that ``state_dict`` gave."""
        ...


def save_state(
    path: Path, *, config: RunConfig, teacher: Teacher, learners: Resumable, history: list[dict[str, float]]
) -> None:
    """Write everything that the rest of the run depends on, atomically: a crash leaves the old file or the new one."""
    save({"identity": _identity(config, teacher), "history": history, **learners.state_dict()}, path)


def load_state(path: Path, *, config: RunConfig, teacher: Teacher, learners: Resumable) -> list[dict[str, float]]:
    """Put ``learners`` into the state stored in ``path``; return the records of the epochs done.

    Raises:
        DamagedStateError: the file, or one beside it, is missing, damaged, or another kind of checkpoint.
        CheckpointError: the file belongs to another configuration, teacher or version of the numerics.
    """
    way_out = "Delete the file to start this run anew."
    state = read_state(path, way_out=way_out)
    expected = _identity(config, teacher)
    if state["identity"] != expected:
        raise CheckpointError(
            f"A run's state must belong to its configuration, but {path} was written for {state['identity']} "
            f"and this run is {expected}. {way_out}"
        )
    learners.load_state_dict(state)
    return state["history"]


def read_state(path: Path, *, way_out: str = "Run it again.") -> dict[str, Any]:
    """Return the state stored in ``path``; its ``history`` holds the records of the epochs done.

    Raises:
        DamagedStateError: the file is missing, damaged, or another kind of checkpoint.
    """
    try:
        state = load(path, what="run's state", way_out=way_out)
    except CheckpointError as error:
        raise DamagedStateError(str(error)) from None
    if "identity" not in state:
        raise DamagedStateError(
            f"A run's state must hold its identity, but {path} is another kind of checkpoint. {way_out}"
        )
    return state


@torch.no_grad()
def sample_grid(state: Mapping[str, Any], config: RunConfig, *, count: int = 64, columns: int = 8) -> Tensor:
    """Return up to ``count`` synthetic images of a run's state as one uint8 picture of shape (3, height, width)."""
    images = KINDS[config.synthesis.kind].pictures(state, config, count)
    return (make_grid(images, nrow=columns, pad_value=1.0) * 255).round().to(torch.uint8)
