"""The last images of a run, from which the student is shown a random batch at each step."""

from typing import Any

import torch
from torch import Tensor

from dfkd.augmentation import augment
from dfkd.config import RunConfig
from dfkd.evaluation import memory_format
from dfkd.randomness import generator
from dfkd.replay.pixels import pixel_range
from dfkd.replay.ring import Ring
from dfkd.stepping import Measurements
from dfkd.synthesis.interface import Finishes, Judges, Synthesizer


def most_images_added(config: RunConfig) -> int:
    """Return how many images an epoch adds to the bank at most."""
    schedule = config.schedule
    if config.synthesis.kind != "generator":  # a batch a round
        return schedule.most_rounds_in_an_epoch * schedule.batch_size
    steps = schedule.student_steps + (schedule.generator_steps if schedule.phases == "staged" else 0)
    return schedule.iterations_per_epoch * steps * schedule.batch_size


class ImageReplay:
    """A bank of the last ``replay.capacity`` images as bytes: capacity * 3 * size^2 of them, and no more.

    Where images take a round to make, they come in when they are finished; a generator's come in when the student has
    seen them. With a ``Judges.state_path`` the bank is a file beside it and a part of the run's state; without, it lies
    in memory. Images come out shifted and mirrored at random.
    """

    def __init__(self, judges: Judges, synthesizer: Synthesizer) -> None:
        config = judges.config
        self._judges = judges
        self._source = synthesizer if isinstance(synthesizer, Finishes) else None
        self._range = pixel_range(config, judges.spec, judges.device)
        self._order = generator(config.seed, "replay.order")
        self._augmentation = generator(config.seed, "replay.augmentation")
        size, path = config.data.image_size, judges.state_path
        each_epoch = most_images_added(config)
        self.bank = Ring(
            (3, size, size),
            dtype=torch.uint8,
            capacity=min(config.replay.capacity, config.schedule.epochs * each_epoch),
            spare=each_epoch,
            path=path.with_suffix(".images") if path is not None else None,
        )

    def follow(self) -> None:
        """Take in the images that the last synthesis step finished, if it did."""
        finished = self._source.finished() if self._source is not None else None
        if finished is not None:
            self.bank.add(self._range.to_bytes(finished))

    def remember(self, images: Tensor) -> None:
        """Take in a generator's images; finished ones are in already."""
        if self._source is None:
            self.bank.add(self._range.to_bytes(images))

    def sample(self, count: int) -> Tensor:
        """Return ``count`` images of the bank, each at most once unless it has fewer."""
        config = self._judges.config
        held = len(self.bank)
        rounds = -(-count // held)
        order = torch.cat([torch.randperm(held, generator=self._order) for _ in range(rounds)])[:count]
        shown = augment(
            self.bank.take(order),
            size=config.data.image_size,
            padding=config.replay.crop_padding,
            flip=self._judges.spec.flip,
            source=self._augmentation,
        )
        images = self._range.from_bytes(shown.to(self._judges.device, non_blocking=True))
        return images.to(memory_format=memory_format(config.compute))

    def measured(self) -> Measurements:
        """Return nothing."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the rest of the run depends on; the bank's file is a part of it."""
        return {
            "bank": self.bank.state_dict(),
            "order": self._order.get_state(),
            "augmentation": self._augmentation.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Return to a state that ``state_dict`` gave."""
        self.bank.load_state_dict(state["bank"])
        self._order.set_state(state["order"])
        self._augmentation.set_state(state["augmentation"])
