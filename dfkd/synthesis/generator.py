"""Images from a generator network that is trained in turns with the student (section 4.1, equation 10)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from dfkd.config import RunConfig
from dfkd.data import dataset_spec
from dfkd.models.generator import AttentionGenerator
from dfkd.randomness import generator
from dfkd.schedules import constant, cosine_schedule
from dfkd.stepping import Measurements, clip_gradient, freeze_student, gradient_norm
from dfkd.synthesis.interface import Judges
from dfkd.synthesis.latents import Latents, code, new_embedding
from dfkd.synthesis.terms import minimised, synthesis_terms


class GeneratorSynthesis:
    """A generator with Adam, its schedule, and the streams of its noise and classes."""

    def __init__(self, judges: Judges) -> None:
        config = judges.config
        assert judges.networks.generator is not None
        self._judges = judges
        self.network = judges.networks.generator
        self.embedding = new_embedding(config, classes=judges.classes, device=judges.device)
        self.optimizer = torch.optim.Adam(
            self._parameters(),
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
        self.latents = Latents(config, classes=judges.classes, device=judges.device)

    def _parameters(self) -> list[nn.Parameter]:
        return [*self.network.parameters(), *(self.embedding.parameters() if self.embedding is not None else ())]

    def synthesize(self) -> Measurements:
        """Take one generator step on what ``generator_loss`` says of its images; return what it measured.

        Teacher and student are frozen: gradients reach the generator alone. The student normalises by the batch's own
        statistics, as when it learns, but remembers none of them (docs/departures.md).
        """
        judges = self._judges
        config = judges.config
        self.network.train()
        freeze_student(judges.networks.student.network, config.student.normalisation_when_frozen)
        noise, labels = self.latents.draw(config.schedule.batch_size)
        with judges.autocast():
            images = judges.network_input(judges.passes.generator(code(noise, labels, self.embedding)))
        terms = synthesis_terms(judges, images, labels)
        self.optimizer.zero_grad(set_to_none=True)
        minimised(config.generator_loss, terms).backward()
        norm = gradient_norm(self._parameters())
        clip_gradient(self.optimizer, config.generator.gradient_clip_norm)
        self.optimizer.step()
        self.schedule.step()
        return {name: term.detach() for name, term in terms.items()} | {"generator.gradient_norm": norm}

    def sample(self, count: int) -> Tensor:
        """Return ``count`` new images, by default normalised by the statistics of their own batch."""
        judges = self._judges
        self.network.train(judges.config.generator.normalisation_when_frozen == "batch")
        noise, labels = self.latents.draw(count)
        return judges.network_input(judges.passes.generator(code(noise, labels, self.embedding)))

    def rates(self) -> dict[str, float]:
        """Return Adam's learning rate."""
        return {"generator.learning_rate": float(self.schedule.get_last_lr()[0])}

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the rest of the run depends on."""
        return {
            "generator": self.network.state_dict(),
            "generator_embedding": self.embedding.state_dict() if self.embedding is not None else None,
            "generator_optimizer": self.optimizer.state_dict(),
            "generator_schedule": self.schedule.state_dict(),
            **self.latents.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Return to a state that ``state_dict`` gave."""
        self.network.load_state_dict(state["generator"])
        if self.embedding is not None:
            self.embedding.load_state_dict(state["generator_embedding"])
        self.optimizer.load_state_dict(state["generator_optimizer"])
        self.schedule.load_state_dict(state["generator_schedule"])
        self.latents.load_state_dict(state)


def generator_pictures(state: Mapping[str, Any], config: RunConfig, count: int) -> Tensor:
    """Return ``count`` images in [0, 1] of the generator of a run's state, from the same noise in every epoch.

    A conditional generator is asked for all classes in turn.
    """
    network = AttentionGenerator(config.generator, image_size=config.data.image_size, seed=config.seed)
    network.load_state_dict(state["generator"])
    noise = torch.randn(count, config.generator.noise_size, generator=generator(config.seed, "samples"))
    if (weights := state.get("generator_embedding")) is not None:
        vectors = weights["weight"]
        noise = torch.cat([noise, vectors[torch.arange(count) % len(vectors)]], dim=1)
    # In training mode, as the student sees them: normalised by the batch's own statistics.
    spec = dataset_spec(config.data.dataset)
    return spec.denormalise(spec.generated(network.train()(noise), config.generator.output))
