"""A variational autoencoder of the images that the student has seen, whose decoder recalls them: no image is kept.

After Binici et al., AAAI 2022, "Robust and Resource-Efficient Data-Free Knowledge Distillation by Generative Pseudo
Replay" (PRE-DFKD), https://arxiv.org/abs/2201.03019.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from dfkd.config import GeneratorConfig
from dfkd.evaluation import place
from dfkd.losses import class_balance, one_hot
from dfkd.models.encoder import Encoder
from dfkd.models.generator import AttentionGenerator
from dfkd.randomness import generator, stream
from dfkd.stepping import Measurements
from dfkd.synthesis.interface import Judges, Synthesizer


class AutoencoderReplay:
    """Encoder and decoder with their optimiser, and the streams of their noise.

    They learn in the first ``replay.autoencoder.steps`` student steps of a round, from half of the new images and as
    many recalled ones as the student is shown, so that the decoder forgets no more than the student does.
    """

    def __init__(self, judges: Judges, synthesizer: Synthesizer) -> None:
        config = judges.config
        self._judges, self._settings = judges, config.replay.autoencoder
        self._count = config.replay.images(config.schedule.batch_size)
        size, seed = config.data.image_size, config.seed
        self.encoder = Encoder(
            config.generator.noise_size, image_size=size, seed=stream(seed, "replay.encoder.weights")
        )
        self.decoder = AttentionGenerator(
            _decoder(config.generator), image_size=size, seed=stream(seed, "replay.decoder.weights")
        )
        for network in (self.encoder, self.decoder):
            place(network, config.compute, judges.device)
        self.optimizer = torch.optim.Adam(
            [*self.encoder.parameters(), *self.decoder.parameters()], self._settings.learning_rate, fused=True
        )
        self._noise = generator(seed, "replay.noise")
        self._steps = 0
        self._measured: Measurements = {}

    def follow(self) -> None:
        """Do nothing: it learns from the student's images."""

    def remember(self, images: Tensor) -> None:
        """Learn from new images, in the steps of a round that are for it."""
        step = self._steps % self._judges.config.schedule.student_steps
        self._steps += 1
        if step < self._settings.steps:
            shown = images[: max(2, len(images) // 2)]
            # At the very first there is nothing yet to recall.
            self._learn(torch.cat([shown, self.sample(self._count)]) if self._steps > 1 else shown)

    @torch.enable_grad()
    def _learn(self, images: Tensor) -> None:
        """Take a step towards decoding what was encoded: the same image, and the same answer of the teacher."""
        teacher = self._judges.networks.teacher.network
        self.encoder.train()
        self.decoder.train()
        with torch.no_grad():
            wanted = teacher(images)
        mean, log_variance = self.encoder(images)
        codes = mean + (log_variance / 2).exp() * self._normal(len(images))
        decoded = self._judges.network_input(self.decoder(codes))
        reconstruction = F.l1_loss(decoded, images) + F.l1_loss(teacher(decoded).float(), wanted.float())
        prior = to_standard_normal(mean, log_variance)
        self.optimizer.zero_grad(set_to_none=True)
        (reconstruction + self._settings.prior_weight * prior).backward()
        self.optimizer.step()
        self._measured = {"replay.reconstruction": reconstruction.detach(), "replay.prior": prior.detach()}

    def _normal(self, count: int) -> Tensor:
        drawn = torch.randn((count, self._judges.config.generator.noise_size), generator=self._noise)
        return drawn.to(self._judges.device, non_blocking=True)

    def sample(self, count: int) -> Tensor:
        """Return ``count`` decoded images, of noise that took a step towards what the teacher is sure of."""
        self.decoder.eval()
        codes = self._tuned(self._normal(count))
        with torch.no_grad():
            return self._judges.network_input(self.decoder(codes))

    @torch.enable_grad()
    def _tuned(self, noise: Tensor) -> Tensor:
        """Return ``noise`` after a step of Adam on the one-hot and the balance term of its images, and on its moments.

        The terms have the weights of ``generator_loss``; if both are 0 there is no step.
        """
        weights = self._judges.config.generator_loss
        if weights.one_hot.weight == weights.class_balance.weight == 0:
            return noise
        codes = noise.requires_grad_()
        optimizer = torch.optim.Adam([codes], self._judges.config.generator.learning_rate)
        logits = self._judges.networks.teacher.network(self._judges.network_input(self.decoder(codes)))
        variance, mean = torch.var_mean(codes, dim=0)
        loss = (variance - 1).square().mean() + mean.square().mean()
        if weights.one_hot.weight > 0:
            loss = loss + weights.one_hot.weight * one_hot(logits, None)
        if weights.class_balance.weight > 0:
            loss = loss + weights.class_balance.weight * class_balance(logits)
        (codes.grad,) = torch.autograd.grad(loss, [codes])
        optimizer.step()
        return codes.detach()

    def measured(self) -> Measurements:
        """Return the terms of the last step of learning, before their weights, if there was one since asked last."""
        measured, self._measured = self._measured, {}
        return measured

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the rest of the run depends on."""
        return {
            "encoder": self.encoder.state_dict(),
            "decoder": self.decoder.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "noise": self._noise.get_state(),
            "steps": self._steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Return to a state that ``state_dict`` gave."""
        self.encoder.load_state_dict(state["encoder"])
        self.decoder.load_state_dict(state["decoder"])
        self.optimizer.load_state_dict(state["optimizer"])
        self._noise.set_state(state["noise"])
        self._steps = state["steps"]


def _decoder(config: GeneratorConfig) -> GeneratorConfig:
    """Return the generator's settings without classes and attention, with batch norm in its blocks."""
    attention = replace(config.attention, weight=0.0)
    return replace(config, attention=attention, class_embedding=0, block_normalisation="batch")


def to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(mean, variance) || N(0, 1)) in nats, summed over a code, averaged over the batch; (batch, code)."""
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1).mean() / 2
