"""A generator whose weights are a moving average of the trained one's: its images recall what the student has learnt.

After Do et al., NeurIPS 2022, "Momentum Adversarial Distillation" (MAD), section 3.2.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from dfkd.stepping import Measurements
from dfkd.synthesis.generator import GeneratorSynthesis
from dfkd.synthesis.interface import Judges, Synthesizer
from dfkd.synthesis.latents import Latents, code


class GeneratorReplay:
    """A copy of the generator that follows it slowly, with noise of its own."""

    def __init__(self, judges: Judges, synthesizer: Synthesizer) -> None:
        assert isinstance(synthesizer, GeneratorSynthesis)
        self._judges, self._followed = judges, synthesizer
        self._momentum = judges.config.replay.momentum
        self.network = copy.deepcopy(synthesizer.network).requires_grad_(False)
        self.embedding = copy.deepcopy(synthesizer.embedding)
        self._latents = Latents(judges.config, classes=judges.classes, device=judges.device, prefix="replay.")

    @torch.no_grad()
    def follow(self) -> None:
        """Move each weight to ``momentum * mine + (1 - momentum) * followed``; take over what no gradient trains."""
        _follow(self.network, self._followed.network, self._momentum)
        if self.embedding is not None and self._followed.embedding is not None:
            _follow(self.embedding, self._followed.embedding, self._momentum)

    def remember(self, images: Tensor) -> None:
        """Do nothing: what is remembered are weights."""

    @torch.no_grad()
    def sample(self, count: int) -> Tensor:
        """Return ``count`` images of the average, made as the trained generator makes those for the student."""
        self.network.train(self._judges.config.generator.normalisation_when_frozen == "batch")
        noise, labels = self._latents.draw(count)
        return self._judges.network_input(self.network(code(noise, labels, self.embedding)))

    def measured(self) -> Measurements:
        """Return nothing."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the rest of the run depends on."""
        return {
            "network": self.network.state_dict(),
            "embedding": self.embedding.state_dict() if self.embedding is not None else None,
            "latents": self._latents.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Return to a state that ``state_dict`` gave."""
        self.network.load_state_dict(state["network"])
        if self.embedding is not None:
            self.embedding.load_state_dict(state["embedding"])
        self._latents.load_state_dict(state["latents"])


def _follow(mine: nn.Module, followed: nn.Module, momentum: float) -> None:
    for weight, wanted in zip(mine.parameters(), followed.parameters(), strict=True):
        weight.lerp_(wanted, 1 - momentum)
    for buffer, other in zip(mine.buffers(), followed.buffers(), strict=True):
        buffer.copy_(other)
