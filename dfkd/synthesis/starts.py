"""Where the generator of a round starts: anew, or from one that learns to be a good start."""

import copy
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch

from dfkd.config import RunConfig
from dfkd.models.generator import AttentionGenerator
from dfkd.randomness import stream


@runtime_checkable
class Start(Protocol):
    """The weights that each round's generator starts from."""

    def begin(self, network: AttentionGenerator, round_number: int) -> None:
        """Give ``network`` the weights that this round starts from."""
        ...

    def take_in(self, network: AttentionGenerator) -> None:
        """Learn from the gradients of a step, before it is taken."""
        ...

    def end(self, network: AttentionGenerator) -> None:
        """Learn from the weights that the round ended with."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the rest of the run depends on."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Return to a state that ``state_dict`` gave."""
        ...


class FreshStart:
    """New weights each round, from a stream of the round's own: CMI (Fang et al., IJCAI 2021)."""

    def __init__(self, config: RunConfig, network: AttentionGenerator) -> None:
        self._config = config

    def begin(self, network: AttentionGenerator, round_number: int) -> None:
        """Give ``network`` new weights."""
        config = self._config
        seed = stream(config.seed, f"generator.round.{round_number}")
        fresh = AttentionGenerator(config.generator, image_size=config.data.image_size, seed=seed)
        network.load_state_dict(fresh.state_dict())

    def take_in(self, network: AttentionGenerator) -> None:
        """Do nothing."""

    def end(self, network: AttentionGenerator) -> None:
        """Do nothing."""

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: a round's weights follow from seed and number."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Do nothing."""


class LearntStart:
    """A meta-generator, from which few steps lead to good images: Fast-Datafree (Fang et al., AAAI 2022).

    Its gradient is, by first-order MAML, the sum of the gradients of a round's steps (``maml``); or, by Reptile,
    ``REPTILE`` times the way from the round's last weights back to it (``reptile``). It takes a step of Adam a round,
    at ``generator.learning_rate`` times the round's synthesis steps, as in the authors' code. What no gradient trains,
    such as the vectors of spectral norm, it takes over from the round's generator.
    """

    REPTILE = 67.0
    """As in the authors' code."""

    def __init__(self, config: RunConfig, network: AttentionGenerator) -> None:
        settings, self._kind = config.generator, config.synthesis.noise.start
        self.network = copy.deepcopy(network)
        rate = settings.learning_rate * config.schedule.generator_steps
        self.optimizer = torch.optim.Adam(self.network.parameters(), rate, (settings.beta1, settings.beta2))

    def begin(self, network: AttentionGenerator, round_number: int) -> None:
        """Give ``network`` the meta-generator's weights."""
        network.load_state_dict(self.network.state_dict())
        for mine in self.network.parameters():
            mine.grad = torch.zeros_like(mine)

    @torch.no_grad()
    def take_in(self, network: AttentionGenerator) -> None:
        """Add the step's gradients to the meta-generator's."""
        if self._kind == "maml":
            for mine, other in zip(self.network.parameters(), network.parameters(), strict=True):
                assert mine.grad is not None
                if other.grad is not None:
                    mine.grad.add_(other.grad)

    @torch.no_grad()
    def end(self, network: AttentionGenerator) -> None:
        """Take the meta-generator's step."""
        if self._kind == "reptile":
            for mine, other in zip(self.network.parameters(), network.parameters(), strict=True):
                mine.grad = self.REPTILE * (mine - other)
        for kept, found in zip(self.network.buffers(), network.buffers(), strict=True):
            kept.copy_(found)
        self.optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """Return weights, gradients of an unfinished round, and optimiser."""
        return {
            "network": self.network.state_dict(),
            "gradients": [mine.grad for mine in self.network.parameters()],
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Return to a state that ``state_dict`` gave."""
        self.network.load_state_dict(state["network"])
        for mine, gradient in zip(self.network.parameters(), state["gradients"], strict=True):
            mine.grad = None if gradient is None else gradient.to(mine.device)
        self.optimizer.load_state_dict(state["optimizer"])


STARTS: dict[str, Callable[[RunConfig, AttentionGenerator], Start]] = {
    "fresh": FreshStart,
    "maml": LearntStart,
    "reptile": LearntStart,
}
"""By ``synthesis.noise.start``."""
