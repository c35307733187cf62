"""Images from a generator network that is trained in turns with the student (section 4.1, equation 10)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from dfkd.config import RunConfig
from dfkd.data import dataset_spec
from dfkd.models.generator import AttentionGenerator
from dfkd.randomness import generator
from dfkd.schedules import constant, cosine_schedule
from dfkd.stepping import Measurements, freeze_student, gradient_norm
from dfkd.synthesis.interface import Judges
from dfkd.synthesis.terms import minimised, synthesis_terms


class GeneratorSynthesis:
    """A generator with Adam, its schedule, and the stream of its noise."""

    def __init__(self, judges: Judges) -> None:
        config = judges.config
        assert judges.networks.generator is not None
        self._judges = judges
        self._noise_size = config.generator.noise_size
        self.network = judges.networks.generator
        self.optimizer = torch.optim.Adam(
            self.network.parameters(),
            config.generator.learning_rate,
            betas=(config.generator.beta1, config.generator.beta2),
            fused=True,
        )
        rounds = config.schedule.epochs * config.schedule.iterations_per_epoch
        self.schedule = (
            cosine_schedule(self.optimizer, rounds * config.schedule.generator_steps)
            if config.generator.schedule == "cosine"
            else LambdaLR(self.optimizer, constant)
        )
        self.noise = generator(config.seed, "noise")

    def draw_noise(self, count: int) -> Tensor:
        """Return the next ``count`` vectors z ~ N(0, 1), of shape (count, noise size)."""
        drawn = torch.randn((count, self._noise_size), generator=self.noise)
        return drawn.to(self._judges.device, non_blocking=True)

    def synthesize(self) -> Measurements:
        """Take one generator step on alpha * L_BN - L_KD (equation 10); return what it measured.

        Teacher and student are frozen: gradients reach the generator alone. The student normalises by the batch's own
        statistics, as when it learns, but remembers none of them (docs/departures.md).
        """
        judges = self._judges
        config = judges.config
        self.network.train()
        freeze_student(judges.networks.student.network, config.student.normalisation_when_frozen)
        with judges.autocast():
            noise = self.draw_noise(config.schedule.batch_size)
            images = judges.network_input(judges.passes.generator(noise))
        terms = synthesis_terms(judges, images)
        self.optimizer.zero_grad(set_to_none=True)
        minimised(config.generator_loss, terms).backward()
        norm = gradient_norm(self.network.parameters())
        self.optimizer.step()
        self.schedule.step()
        return {name: term.detach() for name, term in terms.items()} | {"generator.gradient_norm": norm}

    def sample(self, count: int) -> Tensor:
        """Return ``count`` new images, by default normalised by the statistics of their own batch."""
        judges = self._judges
        self.network.train(judges.config.generator.normalisation_when_frozen == "batch")
        return judges.network_input(judges.passes.generator(self.draw_noise(count)))

    def rates(self) -> dict[str, float]:
        """Return Adam's learning rate."""
        return {"generator.learning_rate": float(self.schedule.get_last_lr()[0])}

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the rest of the run depends on."""
        return {
            "generator": self.network.state_dict(),
            "generator_optimizer": self.optimizer.state_dict(),
            "generator_schedule": self.schedule.state_dict(),
            "noise": self.noise.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Return to a state that ``state_dict`` gave."""
        self.network.load_state_dict(state["generator"])
        self.optimizer.load_state_dict(state["generator_optimizer"])
        self.schedule.load_state_dict(state["generator_schedule"])
        self.noise.set_state(state["noise"])


def generator_pictures(state: Mapping[str, Any], config: RunConfig, count: int) -> Tensor:
    """Return ``count`` images in [0, 1] of the generator of a run's state, from the same noise in every epoch."""
    network = AttentionGenerator(config.generator, image_size=config.data.image_size, seed=config.seed)
    network.load_state_dict(state["generator"])
    noise = torch.randn(count, config.generator.noise_size, generator=generator(config.seed, "samples"))
    # In training mode, as the student sees them: normalised by the batch's own statistics.
    spec = dataset_spec(config.data.dataset)
    return spec.denormalise(spec.generated(network.train()(noise), config.generator.output))
