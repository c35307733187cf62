"""DataFree's own code as the other side of a comparison: its checkout is imported, nothing of it is copied."""

import argparse
import copy
import sys
import types
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dfkd.config import RunConfig
from dfkd.learners import Learners, student_optimizer
from dfkd.models import Classifier


def import_datafree(checkout: Path) -> tuple[Any, Callable[..., None]]:
    """Return the module ``datafree`` of ``checkout``, and the function ``train`` of its datafree_kd.py.

    Raises:
        SystemExit: there is no such checkout, or a package that it needs is missing.
    """
    if not (checkout / "datafree_kd.py").is_file():
        raise SystemExit(
            f"`--checkout` must be the folder of a clone of DataFree, but {checkout} has no datafree_kd.py."
        )
    # torchvision moved this module away in 0.13; DataFree takes one function from it.
    moved = types.ModuleType("torchvision.models.utils")
    moved.load_state_dict_from_url = torch.hub.load_state_dict_from_url  # type: ignore[attr-defined]
    sys.modules["torchvision.models.utils"] = moved
    sys.path.insert(0, str(checkout))
    try:
        import datafree  # type: ignore[import-not-found]
        import datafree_kd  # type: ignore[import-not-found]
    except ModuleNotFoundError as error:
        raise SystemExit(f"DataFree needs the package {error.name!r}: `pip install {error.name}`.") from None
    return datafree, datafree_kd.train


def loop_arguments() -> argparse.Namespace:
    """Return what DataFree's ``train`` reads of its command line, for one step of a student."""
    return argparse.Namespace(kd_steps=1, gpu=None, autocast=nullcontext, fp16=False, print_freq=0)


class WithFeatures(nn.Module):
    """A network that DataFree can ask for its penultimate feature too."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.network = classifier.network
        self._feature: Tensor | None = None
        self.network.get_submodule(classifier.head).register_forward_pre_hook(self._keep)

    def _keep(self, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        self._feature = args[0]

    def forward(self, images: Tensor, return_features: bool = False) -> Any:
        logits = self.network(images)
        return (logits, self._feature) if return_features else logits


class DataFreeSide:
    """DataFree's synthesizer and training loop on copies of the networks of ``learners``, before any step."""

    def __init__(self, config: RunConfig, learners: Learners, *, checkout: Path) -> None:
        datafree, self._train = import_datafree(checkout)
        generator = learners.judges.networks.generator
        assert generator is not None
        self.networks: dict[str, nn.Module] = {
            "generator": copy.deepcopy(generator),
            "student": copy.deepcopy(learners.student.network),
        }
        teacher = WithFeatures(copy.deepcopy(learners.teacher.classifier))
        # It freezes nothing: every weight of its teacher wants a gradient, as when its own main() has loaded it.
        self.teacher = teacher.requires_grad_(True)
        self.criterion = _Remembering(datafree.criterions.KLDiv())
        self.batch_norm_weight = config.generator_loss.batch_norm.weight
        self.synthesizer = datafree.synthesis.GenerativeSynthesizer(
            teacher=self.teacher,
            student=self.networks["student"],
            generator=self.networks["generator"],
            nz=config.generator.noise_size,
            img_size=(3, config.data.image_size, config.data.image_size),
            iterations=1,
            lr_g=config.generator.learning_rate,
            synthesis_batch_size=config.schedule.batch_size,
            sample_batch_size=config.schedule.batch_size,
            adv=config.generator_loss.adversarial.weight,
            bn=self.batch_norm_weight,
            criterion=self.criterion,
            # What it does to the images is what it always does; with these numbers it leaves them as they are.
            normalizer=datafree.utils.Normalizer((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        )
        self.optimizer = student_optimizer(config.student, self.networks["student"].parameters())

    def generator_step(self) -> float:
        """Take one; return its loss."""
        self.synthesizer.synthesize()
        with torch.no_grad():
            matching = sum(float(hook.r_feature) for hook in self.synthesizer.hooks)
        return self.batch_norm_weight * matching - self.criterion.value

    def student_step(self) -> float:
        """Take one; return its loss."""
        pair = (self.networks["student"], self.teacher)
        self._train(self.synthesizer, pair, self.criterion, self.optimizer, loop_arguments())
        return self.criterion.value


class _Remembering(nn.Module):
    """A loss that remembers its last value, because DataFree keeps none."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self._loss = loss
        self._last = torch.zeros(())

    @property
    def value(self) -> float:
        return float(self._last)

    def forward(self, student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
        loss: Tensor = self._loss(student_logits, teacher_logits)
        self._last = loss.detach()
        return loss
