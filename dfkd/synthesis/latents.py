"""What a generator makes images of: noise, and the classes that are asked for."""

from typing import Any

import torch
from torch import Tensor, nn

from dfkd.config import RunConfig
from dfkd.randomness import generator, stream


class Labels:
    """The classes that images are asked to be of (``generator_loss.one_hot.labels``), from a stream of their own."""

    def __init__(self, config: RunConfig, *, classes: int, device: torch.device, name: str = "labels") -> None:
        self._kind, self._classes, self._device = config.generator_loss.one_hot.labels, classes, device
        self._stream = generator(config.seed, name)
        self._next = 0

    def draw(self, count: int) -> Tensor | None:
        """Return the next ``count`` classes, of shape (count,); None where they are the teacher's own (``argmax``)."""
        if self._kind == "argmax":
            return None
        if self._kind == "random":
            drawn = torch.randint(self._classes, (count,), generator=self._stream)
        else:
            drawn = torch.arange(self._next, self._next + count) % self._classes
            self._next = (self._next + count) % self._classes
        return drawn.to(self._device, non_blocking=True)

    def state_dict(self) -> dict[str, Any]:
        """Return where the stream is."""
        return {"stream": self._stream.get_state(), "next": self._next}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Return to a state that ``state_dict`` gave."""
        self._stream.set_state(state["stream"])
        self._next = state["next"]


class Latents:
    """Batches of noise z ~ N(0, 1) and of classes, each for one step or for a round (``generator.noise_for``).

    ``prefix`` names the streams; the default ones are the generator's own.
    """

    def __init__(self, config: RunConfig, *, classes: int, device: torch.device, prefix: str = "") -> None:
        self._size, self._batch, self._device = config.generator.noise_size, config.schedule.batch_size, device
        self._noise = generator(config.seed, f"{prefix}noise")
        self._labels = Labels(config, classes=classes, device=device, name=f"{prefix}labels")
        one_round = config.schedule.generator_steps + config.schedule.student_steps
        self._lasts = one_round if config.generator.noise_for == "round" else 1
        self._kept: tuple[Tensor, Tensor | None] | None = None
        self._used = 0

    def draw(self, count: int) -> tuple[Tensor, Tensor | None]:
        """Return noise of shape (count, noise size), and classes of shape (count,) or None."""
        if self._lasts == 1:
            return self._new(count)
        if self._kept is None or self._used == self._lasts:
            self._kept, self._used = self._new(max(count, self._batch)), 0
        self._used += 1
        noise, labels = self._kept
        return noise[:count], labels if labels is None else labels[:count]

    def _new(self, count: int) -> tuple[Tensor, Tensor | None]:
        drawn = torch.randn((count, self._size), generator=self._noise)
        return drawn.to(self._device, non_blocking=True), self._labels.draw(count)

    def state_dict(self) -> dict[str, Any]:
        """Return what the rest of the run depends on, the batch of an unfinished round among it."""
        return {
            "noise": self._noise.get_state(),
            "labels": self._labels.state_dict(),
            "kept": self._kept,
            "used": self._used,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Return to a state that ``state_dict`` gave. Former states hold the noise alone."""
        self._noise.set_state(state["noise"])
        if "labels" in state:
            self._labels.load_state_dict(state["labels"])
            self._used = state["used"]
            self._kept = None
            if state["kept"] is not None:
                noise, labels = state["kept"]
                self._kept = noise.to(self._device), labels if labels is None else labels.to(self._device)


def new_embedding(config: RunConfig, *, classes: int, device: torch.device) -> nn.Embedding | None:
    """Return a vector per class, N(0, 1) at first, or None if ``generator.class_embedding`` is 0."""
    if config.generator.class_embedding == 0:
        return None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(config.seed, "generator.embedding.weights"))
        return nn.Embedding(classes, config.generator.class_embedding).to(device)


def code(noise: Tensor, labels: Tensor | None, embedding: nn.Embedding | None) -> Tensor:
    """Return what the generator is given: the noise, with the classes' vectors appended where there are some."""
    if embedding is None:
        return noise
    assert labels is not None
    return torch.cat([noise, embedding(labels)], dim=1)
