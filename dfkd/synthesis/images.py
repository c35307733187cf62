"""Images whose pixels are optimised: DeepInversion and its adaptive form (ADI), and zero-shot distillation (ZSKD)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dfkd.config import RunConfig, parse_concentrations
from dfkd.data import dataset_spec
from dfkd.evaluation import memory_format
from dfkd.losses import class_similarity, draw_targets
from dfkd.randomness import generator, stream
from dfkd.replay.pixels import pixel_range
from dfkd.stepping import Measurements, freeze_student, gradient_norm
from dfkd.synthesis.interface import Judges
from dfkd.synthesis.latents import Labels
from dfkd.synthesis.rounds import Best, drawn
from dfkd.synthesis.terms import minimised, synthesis_terms
from dfkd.synthesis.views import jittered


class ImageSynthesis:
    """Batches of images that begin as noise N(0, 1) and take a round's synthesis steps of Adam, one batch a round.

    Images are network inputs, cut to what real pixels can be after every step. Finished are those of the step with the
    lowest loss. They are judged rolled and mirrored at random (``synthesis.images.jitter``).
    """

    def __init__(self, judges: Judges) -> None:
        config = judges.config
        self._judges = judges
        self._settings = config.synthesis.images
        self._range = pixel_range(config, judges.spec, judges.device)
        self._noise = generator(config.seed, "noise")
        self._views = generator(config.seed, "synthesis.views")
        self._labels = Labels(config, classes=judges.classes, device=judges.device)
        self._step = 0
        self._rounds = 0
        self._finished: Tensor | None = None
        self._adopt(torch.zeros(0, 3, config.data.image_size, config.data.image_size), labels=None)

    def synthesize(self) -> Measurements:
        """Take one step of this round's images; return what it measured."""
        judges, config = self._judges, self._judges.config
        if self._step == 0:
            self._begin()
        freeze_student(judges.networks.student.network, config.student.normalisation_when_frozen)
        seen = jittered(
            self._shown(),
            limit=round(self._settings.jitter * config.data.image_size),
            flip=judges.spec.flip,
            source=self._views,
        )
        terms = synthesis_terms(judges, seen, self._asked, targets=self._targets)
        loss = minimised(config.generator_loss, terms)
        self._best.offer(loss, self._shown())
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = gradient_norm([self._images])
        self._optimizer.step()
        with torch.no_grad():
            self._images.copy_(self._images.clamp(self._range.low, self._range.high))
        self._step += 1
        if self._step == config.schedule.generator_steps:
            self._finished = self._range.to_bytes(self._best.kept[0])
            self._step, self._rounds = 0, self._rounds + 1
        return {name: term.detach() for name, term in terms.items()} | {"synthesis.gradient_norm": norm}

    def finished(self) -> Tensor | None:
        """Return the images that the last step finished, network inputs; None if the round goes on."""
        return None if self._finished is None or self._step else self._range.from_bytes(self._finished)

    def sample(self, count: int) -> Tensor:
        """Return ``count`` of the images that were finished last, chosen at random."""
        return drawn(self._finished, count, pixels=self._range, judges=self._judges, source=self._views)

    def rates(self) -> dict[str, float]:
        """Return Adam's learning rate."""
        return {"synthesis.learning_rate": self._settings.learning_rate}

    def _begin(self) -> None:
        """Begin a round: new noise, new classes, a new optimiser."""
        config, size = self._judges.config, self._judges.config.data.image_size
        noise = torch.randn((config.schedule.batch_size, 3, size, size), generator=self._noise)
        self._adopt(noise.to(self._judges.device), labels=self._labels.draw(config.schedule.batch_size))

    def _adopt(self, images: Tensor, *, labels: Tensor | None) -> None:
        settings = self._settings
        self._images = nn.Parameter(images.to(memory_format=memory_format(self._judges.config.compute)))
        self._asked = labels
        self._targets = impressions(self._judges, labels, round_number=self._rounds)
        self._best = Best()
        self._optimizer = torch.optim.Adam([self._images], settings.learning_rate, (settings.beta1, settings.beta2))

    def _shown(self) -> Tensor:
        """Return the images with equal colour channels if the data set's are gray."""
        if not self._judges.spec.gray:
            return self._images
        return self._images.mean(dim=1, keepdim=True).expand_as(self._images)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the rest of the run depends on, an unfinished round among it."""
        unfinished = {
            "images": self._images.detach(),
            "asked": self._asked,
            "optimizer": self._optimizer.state_dict(),
            "best": self._best.state_dict(),
        }
        return {
            "images": {
                "step": self._step,
                "rounds": self._rounds,
                "finished": self._finished,
                "labels": self._labels.state_dict(),
                "noise": self._noise.get_state(),
                "views": self._views.get_state(),
                "unfinished": unfinished if self._step else None,
            }
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Return to a state that ``state_dict`` gave."""
        mine, device = state["images"], self._judges.device
        self._step, self._rounds = mine["step"], mine["rounds"]
        self._finished = None if mine["finished"] is None else mine["finished"].to(device)
        self._labels.load_state_dict(mine["labels"])
        self._noise.set_state(mine["noise"])
        self._views.set_state(mine["views"])
        if (unfinished := mine["unfinished"]) is not None:
            asked = unfinished["asked"]
            self._adopt(unfinished["images"].to(device), labels=None if asked is None else asked.to(device))
            self._optimizer.load_state_dict(unfinished["optimizer"])
            self._best.load_state_dict(unfinished["best"], device)


def impressions(judges: Judges, labels: Tensor | None, *, round_number: int) -> Tensor | None:
    """Return the class probabilities that a round's images are asked for, (batch, classes); None without that term.

    A batch is cut into as many equal parts as there are concentrations. The draws are a function of seed and round.
    """
    settings = judges.config.generator_loss.impressions
    if settings.weight == 0 or labels is None:
        return None
    head = judges.networks.teacher.network.get_submodule(judges.networks.teacher.head)
    assert isinstance(head, nn.Linear)
    choices = torch.tensor(parse_concentrations(settings.concentrations))
    parts = torch.arange(len(labels)) * len(choices) // len(labels)
    return draw_targets(
        class_similarity(head.weight),
        labels,
        choices[parts].to(labels.device),
        source=np.random.default_rng(stream(judges.config.seed, f"impressions.{round_number}")),
    )


def finished_pictures(state: Mapping[str, Any], config: RunConfig, count: int) -> Tensor:
    """Return up to ``count`` images in [0, 1] of those that the run of a state finished last."""
    spec = dataset_spec(config.data.dataset)
    images = pixel_range(config, spec, torch.device("cpu")).from_bytes(state["images"]["finished"][:count])
    return spec.denormalise(images)
