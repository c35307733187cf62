"""What synthesis is to the loop, and what it is given."""

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from dfkd.config import RunConfig
from dfkd.data import DatasetSpec
from dfkd.evaluation import autocast, memory_format
from dfkd.passes import Networks, Passes
from dfkd.stepping import Measurements


@runtime_checkable
class Synthesizer(Protocol):
    """One run's source of synthetic images, with its optimisers, schedules and random streams."""

    def synthesize(self) -> Measurements:
        """Take one synthesis step, a step of the loop's ``generator`` phase; return what it measured.

        Gradients reach what makes the images alone. Each loss term is reported before its weight.
        """
        ...

    def sample(self, count: int) -> Tensor:
        """Return ``count`` network inputs for one student step, (count, 3, size, size), without a graph.

        It is called within ``Judges.autocast`` and without gradients, before the student trains.
        """
        ...

    def rates(self) -> dict[str, float]:
        """Return the learning rates of the next step, by the name that a record has for them."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the rest of the run depends on, under keys of its own."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Return to a state that ``state_dict`` gave; other keys in it are others'."""
        ...


@runtime_checkable
class Finishes(Protocol):
    """A synthesizer whose images take a round of steps to make."""

    def finished(self) -> Tensor | None:
        """Return the images that the last step finished, network inputs without a graph; None if it finished none."""
        ...


@dataclass(frozen=True)
class Judges:
    """The networks that judge synthetic images, both frozen while they do, and how images reach them."""

    config: RunConfig
    """Of the run."""
    networks: Networks
    """Teacher, student, and the generator where there is one."""
    passes: Passes
    """Their forward passes."""
    spec: DatasetSpec
    """How the data set's images are normalised."""
    classes: int
    """How many the teacher knows."""
    device: torch.device
    """Where all of it lies."""
    state_path: Path | None = None
    """Where the run's state is written, beside which large memories lie; None keeps them in memory."""

    def of(self, config: RunConfig) -> "Judges":
        """Return the same judges for a run of another ``config``, which differs in the weights of terms alone."""
        return replace(self, config=config)

    def network_input(self, images: Tensor) -> Tensor:
        """Return images in [-1, 1] as the networks see them (``generator.output``), in the run's memory order."""
        shown = self.spec.generated(images, self.config.generator.output)
        return shown.to(memory_format=memory_format(self.config.compute))

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context in which networks run."""
        return autocast(self.config.compute, self.device)
