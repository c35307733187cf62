"""Everything that a run trains, with its optimisers, schedules and noise."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler

from dfkd.compiled import compiled_passes
from dfkd.config import RunConfig, StudentConfig
from dfkd.data import dataset_spec
from dfkd.evaluation import autocast, memory_format, place
from dfkd.models import Classifier, build_classifier
from dfkd.models.auxiliary import build_auxiliary
from dfkd.models.generator import AttentionGenerator
from dfkd.passes import Networks, eager_passes
from dfkd.randomness import generator
from dfkd.teacher import Teacher


def _constant(step: int) -> float:
    return 1.0


def cosine_schedule(optimizer: Optimizer, steps: int) -> LRScheduler:
    """Return the schedule that lets the learning rate fall to zero along half a cosine (section 5.1)."""
    return CosineAnnealingLR(optimizer, T_max=steps)


def student_optimizer(config: StudentConfig, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """Return SGD as section 5.1 has it."""
    return torch.optim.SGD(
        parameters, config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay, fused=True
    )


def clip_gradient(config: StudentConfig, optimizer: Optimizer) -> None:
    """Shorten the gradient of all that ``optimizer`` trains to `student.gradient_clip_norm`, unless that is 0."""
    if config.gradient_clip_norm > 0:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        torch.nn.utils.clip_grad_norm_(parameters, config.gradient_clip_norm)


def new_student(config: RunConfig, *, teacher: Teacher, device: torch.device) -> Classifier:
    """Return the student with the initial weights of the run's seed, whatever it will learn from, on ``device``."""
    student = build_classifier(
        config.student.architecture,
        classes=len(teacher.class_names),
        image_size=config.data.image_size,
        seed=config.seed,
        role="student",
    )
    place(student.network, config.compute, device)
    return student


class Learners:
    """The student, the generator and the auxiliary modules of one run, on ``device``, at their initial state.

    The same seed gives the same student, generator and noise whatever the loss weights are, so that rows of an ablation
    can be compared seed by seed. ``passes`` are the networks' forward passes, by the engine asked for.
    """

    def __init__(
        self,
        config: RunConfig,
        *,
        teacher: Teacher,
        device: torch.device,
        engine: str = "eager",
        checkpoint_activations: bool = False,
    ) -> None:
        self._compute = config.compute
        self._output = config.generator.output
        self._noise_shape = (config.schedule.batch_size, config.generator.noise_size)
        self.device = device
        self.spec = dataset_spec(config.data.dataset)
        self.teacher = teacher
        place(teacher.classifier.network, config.compute, device).eval().requires_grad_(False)
        self.student = new_student(config, teacher=teacher, device=device)
        self.generator = AttentionGenerator(config.generator, image_size=config.data.image_size, seed=config.seed)
        place(self.generator, config.compute, device).train()
        self.auxiliary = build_auxiliary(
            config, teacher=teacher.classifier, student=self.student, pretrained=teacher.attention
        )
        place(self.auxiliary, config.compute, device)

        self.generator_optimizer = torch.optim.Adam(
            self.generator.parameters(),
            config.generator.learning_rate,
            betas=(config.generator.beta1, config.generator.beta2),
            fused=True,
        )
        trained = [p for p in self.auxiliary.parameters() if p.requires_grad]
        self.student_optimizer = student_optimizer(config.student, [*self.student.network.parameters(), *trained])
        rounds = config.schedule.epochs * config.schedule.iterations_per_epoch
        self.student_schedule = cosine_schedule(self.student_optimizer, rounds * config.schedule.student_steps)
        self.generator_schedule = (
            cosine_schedule(self.generator_optimizer, rounds * config.schedule.generator_steps)
            if config.generator.schedule == "cosine"
            else LambdaLR(self.generator_optimizer, _constant)
        )
        self.noise = generator(config.seed, "noise")
        networks = Networks(teacher.classifier, self.student, self.generator)
        if engine == "eager":
            self.passes = eager_passes(config, networks, checkpoint_activations=checkpoint_activations)
        else:
            self.passes = compiled_passes(config, networks, graphs=engine == "graphs")

    def draw_noise(self) -> Tensor:
        """Return the next batch of z ~ N(0, 1), of shape (batch, noise size)."""
        return torch.randn(self._noise_shape, generator=self.noise).to(self.device, non_blocking=True)

    def network_input(self, images: Tensor) -> Tensor:
        """Return the generator's images as teacher and student see them, in the run's memory order."""
        return self.spec.generated(images, self._output).to(memory_format=memory_format(self._compute))

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context in which networks run."""
        return autocast(self._compute, self.device)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the rest of the run depends on."""
        return {
            "student": self.student.network.state_dict(),
            "generator": self.generator.state_dict(),
            "auxiliary": self.auxiliary.state_dict(),
            "student_optimizer": self.student_optimizer.state_dict(),
            "generator_optimizer": self.generator_optimizer.state_dict(),
            "student_schedule": self.student_schedule.state_dict(),
            "generator_schedule": self.generator_schedule.state_dict(),
            "noise": self.noise.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Return to a state that ``state_dict`` gave."""
        self.student.network.load_state_dict(state["student"])
        self.generator.load_state_dict(state["generator"])
        self.auxiliary.load_state_dict(state["auxiliary"])
        self.student_optimizer.load_state_dict(state["student_optimizer"])
        self.generator_optimizer.load_state_dict(state["generator_optimizer"])
        self.student_schedule.load_state_dict(state["student_schedule"])
        self.generator_schedule.load_state_dict(state["generator_schedule"])
        self.noise.set_state(state["noise"])
