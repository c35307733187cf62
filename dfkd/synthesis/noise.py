"""Images of a generator that is fitted to one batch of noise, which is optimised with it: CMI and Fast-Datafree."""

from typing import Any

import torch
from torch import Tensor, nn

from dfkd.augmentation import augment
from dfkd.evaluation import memory_format
from dfkd.overrides import with_overrides
from dfkd.randomness import generator
from dfkd.replay.pixels import pixel_range
from dfkd.stepping import Measurements, freeze_student, gradient_norm
from dfkd.synthesis.contrast import Contrast
from dfkd.synthesis.interface import Judges
from dfkd.synthesis.latents import Labels
from dfkd.synthesis.rounds import Best, drawn
from dfkd.synthesis.starts import STARTS
from dfkd.synthesis.terms import minimised, synthesis_terms


class NoiseSynthesis:
    """Batches of images, one a round: Adam fits a generator and its noise together for a round's synthesis steps.

    Where a round's generator starts is ``synthesis.noise.start``. Images are judged shifted and mirrored at random.
    Finished are those of the step with the lowest loss. In the run's warm-up there is no adversarial term, because
    nothing is known of a student that has not learnt.
    """

    def __init__(self, judges: Judges) -> None:
        config = judges.config
        assert judges.networks.generator is not None
        self._judges = judges
        quiet = (
            with_overrides(config, {"generator_loss.adversarial.weight": 0.0}) if config.schedule.warm_up else config
        )
        self._judges_in_warm_up = judges.of(quiet)
        self._settings = config.synthesis.noise
        self._range = pixel_range(config, judges.spec, judges.device)
        self.network = judges.networks.generator
        self.start = STARTS[config.synthesis.noise.start](config, self.network)
        self.contrast = Contrast(judges) if config.generator_loss.contrast.weight > 0 else None
        self.noise = generator(config.seed, "noise")
        self._views = generator(config.seed, "synthesis.views")
        self._labels = Labels(config, classes=judges.classes, device=judges.device)
        self._step = 0
        self._rounds = 0
        self._finished: Tensor | None = None
        self._adopt(torch.zeros(0), asked=None)

    def synthesize(self) -> Measurements:
        """Take one step of this round's generator and noise; return what it measured."""
        config = self._judges.config
        warming_up = self._rounds < config.schedule.warm_up_rounds
        judges = self._judges_in_warm_up if warming_up else self._judges
        if self._step == 0:
            self._begin()
        self.network.train()
        freeze_student(judges.networks.student.network, config.student.normalisation_when_frozen)
        with judges.autocast():
            images = judges.network_input(judges.passes.generator(self._z))
        whole = self._whole_views(images)
        features: tuple[Tensor, ...] = ()
        if self.contrast is None:
            terms = synthesis_terms(judges, whole, self._asked)
        else:
            with self.contrast.watching() as stages:
                terms = synthesis_terms(judges, whole, self._asked)
            terms["generator_loss.contrast"], features = self.contrast.term(images, stages)
        loss = minimised(config.generator_loss, terms)
        self._best.offer(loss, images, *features)
        self._zero_gradients()
        loss.backward()
        norm = gradient_norm([*self.network.parameters(), self._z])
        self.start.take_in(self.network)
        self._optimizer.step()
        if self.contrast is not None:
            self.contrast.optimizer.step()
        self._step += 1
        if self._step == config.schedule.generator_steps:
            self._finish()
        return {name: term.detach() for name, term in terms.items()} | {"generator.gradient_norm": norm}

    def _whole_views(self, images: Tensor) -> Tensor:
        settings, judges = self._settings, self._judges
        size = judges.config.data.image_size
        views = augment(images, size=size, padding=settings.crop_padding, flip=judges.spec.flip, source=self._views)
        return views.to(memory_format=memory_format(judges.config.compute))

    def _begin(self) -> None:
        """Begin a round: a generator to start from, new noise, new classes, a new optimiser."""
        config = self._judges.config
        self.start.begin(self.network, self._rounds)
        z = torch.randn((config.schedule.batch_size, config.generator.noise_size), generator=self.noise)
        self._adopt(z.to(self._judges.device), asked=self._labels.draw(config.schedule.batch_size))

    def _adopt(self, z: Tensor, *, asked: Tensor | None) -> None:
        settings = self._judges.config.generator
        self._z = nn.Parameter(z)
        self._asked = asked
        self._best = Best()
        groups: list[dict[str, Any]] = [
            {"params": list(self.network.parameters())},
            {"params": [self._z], "lr": self._settings.learning_rate},
        ]
        self._optimizer = torch.optim.Adam(groups, settings.learning_rate, (settings.beta1, settings.beta2))

    def _zero_gradients(self) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        if self.contrast is not None:
            self.contrast.optimizer.zero_grad(set_to_none=True)

    def _finish(self) -> None:
        """End a round: its images are finished, its features banked, and the next start learns from it."""
        images, *features = self._best.kept
        self._finished = self._range.to_bytes(images)
        if self.contrast is not None:
            self.contrast.remember(*features)
        if self._judges.networks.remembered is not None:
            self._judges.networks.remembered.update()
        self.start.end(self.network)
        self._step, self._rounds = 0, self._rounds + 1

    def finished(self) -> Tensor | None:
        """Return the images that the last step finished, network inputs; None if the round goes on."""
        return None if self._finished is None or self._step else self._range.from_bytes(self._finished)

    def sample(self, count: int) -> Tensor:
        """Return ``count`` of the images that were finished last, chosen at random."""
        return drawn(self._finished, count, pixels=self._range, judges=self._judges, source=self._views)

    def rates(self) -> dict[str, float]:
        """Return Adam's learning rates."""
        return {
            "generator.learning_rate": self._judges.config.generator.learning_rate,
            "synthesis.learning_rate": self._settings.learning_rate,
        }

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the rest of the run depends on, an unfinished round among it."""
        unfinished = {
            "z": self._z.detach(),
            "asked": self._asked,
            "optimizer": self._optimizer.state_dict(),
            "best": self._best.state_dict(),
        }
        remembered = self._judges.networks.remembered
        return {
            "generator": self.network.state_dict(),
            "images": {
                "step": self._step,
                "rounds": self._rounds,
                "finished": self._finished,
                "labels": self._labels.state_dict(),
                "noise": self.noise.get_state(),
                "views": self._views.get_state(),
                "start": self.start.state_dict(),
                "contrast": self.contrast.state_dict() if self.contrast is not None else None,
                "remembered": remembered.state_dict() if remembered is not None else None,
                "unfinished": unfinished if self._step else None,
            },
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Return to a state that ``state_dict`` gave."""
        mine, device, remembered = state["images"], self._judges.device, self._judges.networks.remembered
        self.network.load_state_dict(state["generator"])
        self._step, self._rounds = mine["step"], mine["rounds"]
        self._finished = None if mine["finished"] is None else mine["finished"].to(device)
        self._labels.load_state_dict(mine["labels"])
        self.noise.set_state(mine["noise"])
        self._views.set_state(mine["views"])
        self.start.load_state_dict(mine["start"])
        if self.contrast is not None:
            self.contrast.load_state_dict(mine["contrast"])
        if remembered is not None:
            remembered.load_state_dict(mine["remembered"], device)
        if (unfinished := mine["unfinished"]) is not None:
            asked = unfinished["asked"]
            self._adopt(unfinished["z"].to(device), asked=None if asked is None else asked.to(device))
            self._optimizer.load_state_dict(unfinished["optimizer"])
            self._best.load_state_dict(unfinished["best"], device)
