"""What replay is to the loop and to synthesis."""

from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from dfkd.stepping import Measurements


@runtime_checkable
class Replay(Protocol):
    """One run's memory of former images, with its random streams; never shared between runs."""

    def follow(self) -> None:
        """Take in what the last synthesis step changed; called after each."""
        ...

    def remember(self, images: Tensor) -> None:
        """Take in finished images, network inputs of shape (count, 3, size, size), without a graph."""
        ...

    def sample(self, count: int) -> Tensor:
        """Return ``count`` network inputs for one student step, (count, 3, size, size), without a graph."""
        ...

    def measured(self) -> Measurements:
        """Return what remembering the last images measured, and nothing the next time."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the rest of the run depends on."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Return to a state that ``state_dict`` gave."""
        ...
