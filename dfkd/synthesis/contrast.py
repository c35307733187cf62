"""Contrastive model inversion: images should differ, in what the teacher sees of them, from a bank of others."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from dfkd.losses import instance_contrast
from dfkd.models.taps import tap_features
from dfkd.randomness import generator, stream
from dfkd.replay.ring import Ring
from dfkd.synthesis.interface import Judges
from dfkd.synthesis.views import resized_crops

LEAST_AREA = 0.25
"""Of an image that a local view shows, as in the authors' code."""


class Contrast:
    """A projection of the teacher's features with Adam, and the bank of features of finished images.

    A feature is the means over positions of all stages' maps, one behind the other; an image has two, of a local view
    and of a view of the whole. The bank holds ``generator_loss.contrast.capacity`` images, 8 bytes for each number of a
    feature, beside the run's state if that is written.

    One difference from the authors' code, which takes the inputs of all batch norms, or for ResNet-34 those of the
    stages: outputs of stages are far fewer numbers, and exist in every network.
    """

    def __init__(self, judges: Judges) -> None:
        config, teacher = judges.config, judges.networks.teacher
        settings = config.generator_loss.contrast
        self._judges, self._settings = judges, settings
        size = config.data.image_size
        with torch.no_grad(), tap_features(teacher, enabled=True) as seen:
            teacher.network(torch.zeros(1, 3, size, size, device=judges.device))
        self.width = sum(stage.shape[1] for stage in seen.stages)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream(config.seed, "contrast.weights"))
            self.head = nn.Sequential(
                nn.Linear(self.width, self.width), nn.ReLU(), nn.Linear(self.width, settings.projection_size)
            ).to(judges.device)
        self.optimizer = torch.optim.Adam(self.head.parameters(), config.generator.learning_rate)
        batch = config.schedule.batch_size
        self.bank = Ring(
            (2, self.width),
            dtype=torch.float32,
            capacity=settings.capacity,
            spare=config.schedule.most_rounds_in_an_epoch * batch,
            path=judges.state_path.with_suffix(".features") if judges.state_path is not None else None,
        )
        self._choice = generator(config.seed, "contrast.negatives")
        self._views = generator(config.seed, "contrast.views")

    @contextmanager
    def watching(self) -> Iterator[list[Tensor]]:
        """Yield the list that the teacher's pass inside the block fills with the maps of its stages."""
        with tap_features(self._judges.networks.teacher, enabled=True) as features:
            yield features.stages

    def term(self, images: Tensor, stages: list[Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return L_cr of ``images``, a scalar, and their features of local and whole views, (batch, width) each.

        ``stages`` are the teacher's maps of the whole views.
        """
        judges = self._judges
        parts = resized_crops(images, least_area=LEAST_AREA, flip=judges.spec.flip, source=self._views)
        with judges.autocast(), self.watching() as local_stages:
            judges.networks.teacher.network(parts)
        whole, local = _feature(stages), _feature(local_stages)
        others = self._negatives()
        count = len(images) + len(others)
        projected = self.head(torch.cat([local, others[:, 0], whole, others[:, 1]]))
        loss = instance_contrast(
            projected[:count], projected[count:], temperature=self._settings.temperature, current=len(images)
        )
        return loss, (local, whole)

    def remember(self, local: Tensor, whole: Tensor) -> None:
        """Take in the features of finished images."""
        self.bank.add(torch.stack([local, whole], dim=1))

    def _negatives(self) -> Tensor:
        """Return features of up to ``negatives`` images of the bank, (count, 2, width), chosen at random."""
        if len(self.bank) == 0:
            return torch.zeros(0, 2, self.width, device=self._judges.device)
        chosen = torch.randperm(len(self.bank), generator=self._choice)[: self._settings.negatives]
        return self.bank.take(chosen).to(self._judges.device)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the rest of the run depends on."""
        return {
            "head": self.head.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "bank": self.bank.state_dict(),
            "choice": self._choice.get_state(),
            "views": self._views.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Return to a state that ``state_dict`` gave."""
        self.head.load_state_dict(state["head"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.bank.load_state_dict(state["bank"])
        self._choice.set_state(state["choice"])
        self._views.set_state(state["views"])


def _feature(stages: list[Tensor]) -> Tensor:
    return torch.cat([stage.float().mean(dim=(2, 3)) for stage in stages], dim=1)
