"""Everything that a run trains, with its optimisers, schedules and noise."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dfkd.compiled import compiled_passes
from dfkd.config import RunConfig, StudentConfig
from dfkd.data import dataset_spec
from dfkd.evaluation import place
from dfkd.losses import RememberedStatistics
from dfkd.models import Classifier, build_classifier
from dfkd.models.auxiliary import build_auxiliary
from dfkd.models.generator import AttentionGenerator
from dfkd.passes import Networks, eager_passes
from dfkd.replay.kinds import KINDS as REPLAYS
from dfkd.schedules import cosine_schedule
from dfkd.stepping import Measurements
from dfkd.synthesis.interface import Judges
from dfkd.synthesis.kinds import KINDS
from dfkd.teacher import Teacher


def student_optimizer(config: StudentConfig, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """Return SGD as section 5.1 has it."""
    return torch.optim.SGD(
        parameters, config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay, fused=True
    )


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
    """The student, the auxiliary modules and the synthesizer of one run, on ``device``, at their initial state.

    The same seed gives the same student, generator and noise whatever the loss weights are, so that rows of an ablation
    can be compared seed by seed. ``passes`` are the networks' forward passes, by the engine asked for. What does
    not go into the state that is written to ``state_path`` lies beside it.
    """

    def __init__(
        self,
        config: RunConfig,
        *,
        teacher: Teacher,
        device: torch.device,
        engine: str = "eager",
        checkpoint_activations: bool = False,
        state_path: Path | None = None,
    ) -> None:
        self._batch_size = config.schedule.batch_size
        self._replayed = config.replay.images(self._batch_size)
        self.device = device
        self.spec = dataset_spec(config.data.dataset)
        self.teacher = teacher
        place(teacher.classifier.network, config.compute, device).eval().requires_grad_(False)
        self.student = new_student(config, teacher=teacher, device=device)
        kind = KINDS[config.synthesis.kind]
        generator = _new_generator(config, device) if kind.has_generator else None
        self.auxiliary = build_auxiliary(
            config, teacher=teacher.classifier, student=self.student, pretrained=teacher.attention
        )
        place(self.auxiliary, config.compute, device)

        trained = [p for p in self.auxiliary.parameters() if p.requires_grad]
        self.student_optimizer = student_optimizer(config.student, [*self.student.network.parameters(), *trained])
        rounds = config.schedule.epochs * config.schedule.iterations_per_epoch - config.schedule.warm_up_rounds
        self.student_schedule = cosine_schedule(self.student_optimizer, rounds * config.schedule.student_steps)
        momentum = config.generator_loss.batch_norm.momentum
        remembered = RememberedStatistics(momentum) if momentum > 0 else None
        networks = Networks(teacher.classifier, self.student, generator, remembered)
        if engine == "eager" or config.runs_eagerly:
            self.passes = eager_passes(
                config, networks, checkpoint_activations=checkpoint_activations and not config.runs_eagerly
            )
        else:
            self.passes = compiled_passes(config, networks, graphs=engine == "graphs")
        self.judges = Judges(
            config,
            networks,
            self.passes,
            self.spec,
            classes=len(teacher.class_names),
            device=device,
            state_path=state_path,
        )
        self.synthesizer = kind.build(self.judges)
        replay = REPLAYS[config.replay.kind]
        self.replay = replay(self.judges, self.synthesizer) if replay is not None else None

    def synthesize(self) -> Measurements:
        """Take one synthesis step, which the replay follows; return what it measured."""
        measured = self.synthesizer.synthesize()
        if self.replay is not None:
            self.replay.follow()
        return measured

    def sample(self) -> Tensor:
        """Return the images of one student step as the networks see them, (batch, 3, size, size), without a graph.

        With a replay, the last `replay.fraction` of them are from there.
        """
        if self.replay is None:
            return self.synthesizer.sample(self._batch_size)
        parts = []
        if self._replayed < self._batch_size:
            fresh = self.synthesizer.sample(self._batch_size - self._replayed)
            self.replay.remember(fresh)
            parts.append(fresh)
        return torch.cat([*parts, self.replay.sample(self._replayed)])

    def replay_measured(self) -> Measurements:
        """Return what the replay measured when it took in the last images; nothing without a replay."""
        return self.replay.measured() if self.replay is not None else {}

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context in which networks run."""
        return self.judges.autocast()

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the rest of the run depends on."""
        return {
            "student": self.student.network.state_dict(),
            "auxiliary": self.auxiliary.state_dict(),
            "student_optimizer": self.student_optimizer.state_dict(),
            "student_schedule": self.student_schedule.state_dict(),
            **self.synthesizer.state_dict(),
            **({"replay": self.replay.state_dict()} if self.replay is not None else {}),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Return to a state that ``state_dict`` gave."""
        self.student.network.load_state_dict(state["student"])
        self.auxiliary.load_state_dict(state["auxiliary"])
        self.student_optimizer.load_state_dict(state["student_optimizer"])
        self.student_schedule.load_state_dict(state["student_schedule"])
        self.synthesizer.load_state_dict(state)
        if self.replay is not None:
            self.replay.load_state_dict(state["replay"])


def _new_generator(config: RunConfig, device: torch.device) -> AttentionGenerator:
    network = AttentionGenerator(config.generator, image_size=config.data.image_size, seed=config.seed)
    place(network, config.compute, device)
    return network
