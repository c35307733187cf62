"""Students that learn from the real training images: the upper bounds of a comparison (first rows of Table 1).

They take as many steps of as many images as a data-free student, with the same optimiser and schedule, so that what
differs is where the images come from.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from dfkd.config import RunConfig
from dfkd.data import TrainingImages, dataset_spec
from dfkd.evaluation import autocast, place
from dfkd.learners import new_student, student_optimizer
from dfkd.randomness import generator
from dfkd.real_batches import prepared
from dfkd.schedules import cosine_schedule
from dfkd.stepping import Measurements, clip_gradient, divergence, gradient_norm
from dfkd.teacher import Teacher


class RealLearners:
    """The student of one run and the training images it is shown, on ``device``, at their initial state.

    The student of a seed starts with the same weights as its data-free sibling. Images are drawn without replacement
    until all were seen, cropped and mirrored as for the teacher.
    """

    def __init__(self, config: RunConfig, *, teacher: Teacher, train: TrainingImages, device: torch.device) -> None:
        self._config = config
        self.device = device
        self.spec = dataset_spec(config.data.dataset)
        self.teacher = teacher
        self.train = train.to(device)
        place(teacher.classifier.network, config.compute, device).eval().requires_grad_(False)
        self.student = new_student(config, teacher=teacher, device=device)
        self.student_optimizer = student_optimizer(config.student, self.student.network.parameters())
        schedule = config.schedule
        steps = schedule.epochs * schedule.iterations_per_epoch * schedule.student_steps
        self.student_schedule = cosine_schedule(self.student_optimizer, steps)
        self._order_stream = generator(config.seed, "real.order")
        self._augmentation_stream = generator(config.seed, "real.augmentation")
        self._order = torch.empty(0, dtype=torch.int64)

    def draw_batch(self) -> tuple[Tensor, Tensor]:
        """Return the next images as the networks see them, (batch, 3, size, size), and their labels, (batch,)."""
        size = self._config.schedule.batch_size
        while len(self._order) < size:
            again = torch.randperm(len(self.train.labels), generator=self._order_stream)
            self._order = torch.cat([self._order, again])
        chosen, self._order = self._order[:size], self._order[size:]
        return prepared(self._config, self.train, chosen, augmentation=self._augmentation_stream)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the rest of the run depends on."""
        return {
            "student": self.student.network.state_dict(),
            "student_optimizer": self.student_optimizer.state_dict(),
            "student_schedule": self.student_schedule.state_dict(),
            "order_stream": self._order_stream.get_state(),
            "augmentation_stream": self._augmentation_stream.get_state(),
            "order": self._order,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Return to a state that ``state_dict`` gave."""
        self.student.network.load_state_dict(state["student"])
        self.student_optimizer.load_state_dict(state["student_optimizer"])
        self.student_schedule.load_state_dict(state["student_schedule"])
        self._order_stream.set_state(state["order_stream"])
        self._augmentation_stream.set_state(state["augmentation_stream"])
        self._order = state["order"]


def real_step(config: RunConfig, learners: RealLearners) -> Measurements:
    """Take one student step on real images; return what it measured.

    ``scratch`` minimises the cross-entropy of the labels, ``real_kd`` L_KD alone: what the data-free student minimises
    without its other terms, on better images.
    """
    images, labels = learners.draw_batch()
    network = learners.student.network.train()
    with autocast(config.compute, learners.device):
        logits = network(images)
        if config.method == "scratch":
            name, loss = "cross_entropy", F.cross_entropy(logits.float(), labels)
        else:
            with torch.no_grad():
                teacher_logits = learners.teacher.classifier.network(images)
            name, loss = "distillation", divergence(config, logits, teacher_logits)
    learners.student_optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = gradient_norm(network.parameters())
    clip_gradient(learners.student_optimizer, config.student.gradient_clip_norm)
    learners.student_optimizer.step()
    learners.student_schedule.step()
    return {f"student_loss.{name}": loss.detach(), "student.gradient_norm": norm}
