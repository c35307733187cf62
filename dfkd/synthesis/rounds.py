"""What images that take a round of synthesis steps to make have in common."""

from typing import Any

import torch
from torch import Tensor

from dfkd.evaluation import memory_format
from dfkd.replay.pixels import PixelRange
from dfkd.synthesis.interface import Judges


class Best:
    """What was made at the lowest loss of a round: the authors of DeepInversion and CMI keep that and not the last.

    Copied, because DeepInversion's code keeps a reference to images that it goes on to change, which are the last ones
    in the end. Kept on the images' device, so that no step waits for a number.
    """

    def __init__(self) -> None:
        self.kept: tuple[Tensor, ...] = ()
        self._loss = torch.zeros(())

    @torch.no_grad()
    def offer(self, loss: Tensor, *made: Tensor) -> None:
        """Keep copies of what was ``made``, if no ``loss`` before was as low."""
        loss = loss.detach()
        if not self.kept:
            self.kept, self._loss = tuple(each.detach().clone() for each in made), loss.clone()
            return
        better = loss < self._loss
        self.kept = tuple(torch.where(better, new, old) for new, old in zip(made, self.kept, strict=True))
        self._loss = torch.where(better, loss, self._loss)

    def state_dict(self) -> dict[str, Any]:
        """Return what is kept."""
        return {"kept": self.kept, "loss": self._loss}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Return to a state that ``state_dict`` gave, on ``device``."""
        self.kept = tuple(each.to(device) for each in state["kept"])
        self._loss = state["loss"].to(device)


def drawn(
    finished: Tensor | None, count: int, *, pixels: PixelRange, judges: Judges, source: torch.Generator
) -> Tensor:
    """Return ``count`` of the images that were ``finished`` last, network inputs, chosen at random by ``source``."""
    assert finished is not None, "no round is finished"
    chosen = torch.randperm(len(finished), generator=source)[:count]
    images = pixels.from_bytes(finished[chosen.to(finished.device)])
    return images.to(memory_format=memory_format(judges.config.compute))
