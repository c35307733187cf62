"""DataFree's synthesizers of several methods, on copies of the networks of one of our runs; nothing of it is copied."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.datafree import WithFeatures, import_datafree, loop_arguments
from dfkd.augmentation import augment
from dfkd.config import RunConfig
from dfkd.learners import Learners, student_optimizer
from dfkd.models import Classifier
from dfkd.randomness import generator
from dfkd.synthesis.contrast import LEAST_AREA
from dfkd.synthesis.latents import Labels
from dfkd.synthesis.noise import NoiseSynthesis
from dfkd.synthesis.views import resized_crops


class MethodSide:
    """One method as DataFree runs it, before any step. Its students' steps are those of its own training loop."""

    def __init__(self, config: RunConfig, learners: Learners, *, checkout: Path, folder: Path) -> None:
        self._datafree, self._train = import_datafree(checkout)
        self.config, self.folder = config, folder
        network = learners.judges.networks.generator
        assert network is not None
        self.networks: dict[str, nn.Module] = {
            "generator": copy.deepcopy(network),
            "student": copy.deepcopy(learners.student.network),
        }
        self.classifier = copy.deepcopy(learners.teacher.classifier)
        self.teacher = WithFeatures(self.classifier).requires_grad_(True)
        kind, temperature = config.student_loss.distillation.kind, config.student_loss.distillation.temperature
        self.criterion = nn.L1Loss() if kind == "l1" else self._datafree.criterions.KLDiv(T=temperature)
        self.optimizer = student_optimizer(config.student, self.networks["student"].parameters())
        self.synthesizer = self._contrastive(learners) if _is_contrastive(config) else self._generative()

    def _common(self) -> dict[str, Any]:
        weights, config = self.config.generator_loss, self.config
        size = config.data.image_size
        return {
            "teacher": self.teacher,
            "student": self.networks["student"],
            "generator": self.networks["generator"],
            "nz": config.generator.noise_size,
            "img_size": (3, size, size),
            "iterations": config.schedule.generator_steps,
            "lr_g": config.generator.learning_rate,
            "synthesis_batch_size": config.schedule.batch_size,
            "sample_batch_size": config.schedule.batch_size,
            "adv": weights.adversarial.weight,
            "bn": weights.batch_norm.weight,
            "oh": weights.one_hot.weight,
            # With these numbers it leaves the images as they are.
            "normalizer": self._datafree.utils.Normalizer((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        }

    def _generative(self) -> Any:
        weights = self.config.generator_loss
        return self._datafree.synthesis.GenerativeSynthesizer(
            **self._common(),
            act=weights.activation.weight,
            balance=weights.class_balance.weight,
            criterion=self.criterion,
        )

    def _contrastive(self, learners: Learners) -> Any:
        """Return CMI's synthesizer, given what it would draw, and the features that ours looks at."""
        config, ours = self.config, learners.synthesizer
        assert isinstance(ours, NoiseSynthesis)
        module, contrast = self._datafree.synthesis.contrastive, ours.contrast
        assert contrast is not None
        theirs = module.CMISynthesizer(
            **self._common(),
            num_classes=learners.judges.classes,
            cr=config.generator_loss.contrast.weight,
            cr_T=config.generator_loss.contrast.temperature,
            save_dir=str(self.folder),
        )
        for hook in theirs.cmi_hooks:
            hook.remove()
        theirs.cmi_hooks = [_StageMean(self.classifier, path) for path in self.classifier.stages]
        theirs.mem_bank = module.MemoryBank("cpu", max_size=contrast.bank.capacity, dim_feat=2 * contrast.width)
        head = copy.deepcopy(contrast.head)
        theirs.head = _Normalised(head)
        theirs.optimizer_head = torch.optim.Adam(head.parameters(), lr=config.generator.learning_rate)
        whole, parts = (generator(config.seed, name) for name in ("synthesis.views", "contrast.views"))
        size, padding = config.data.image_size, config.synthesis.noise.crop_padding
        flip = learners.spec.flip
        theirs.aug = lambda images: (
            augment(images, size=size, padding=padding, flip=flip, source=whole),
            resized_crops(images, least_area=LEAST_AREA, flip=flip, source=parts),
        )
        rounds = iter(range(10**6))
        module.reset_model = lambda network: ours.start.begin(network, next(rounds))
        self._labels = Labels(config, classes=learners.judges.classes, device=torch.device("cpu"))
        return theirs

    def synthesize(self) -> None:
        """Make a batch of images: one step of a generator, or a round."""
        if _is_contrastive(self.config):
            self.synthesizer.synthesize(self._labels.draw(self.config.schedule.batch_size))
        else:
            self.synthesizer.synthesize()

    def student_step(self, images: Tensor | None = None) -> None:
        """Take one step of the training loop, on its own images or on ``images``."""
        if images is not None:
            self.synthesizer.sample = lambda: images
        pair = (self.networks["student"], self.teacher)
        self._train(self.synthesizer, pair, self.criterion, self.optimizer, loop_arguments())


def _is_contrastive(config: RunConfig) -> bool:
    return config.generator_loss.contrast.weight > 0


class _StageMean:
    """What DataFree's hooks keep of a pass, of the output of one of our stages."""

    def __init__(self, classifier: Classifier, path: str) -> None:
        self.instance_mean = torch.zeros(0)
        classifier.network.get_submodule(path).register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        self.instance_mean = output.mean(dim=(2, 3))


class _Normalised(nn.Module):
    """A projection whose results have length 1, as DataFree's head gives them."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, features: Tensor) -> Tensor:
        return nn.functional.normalize(self.head(features), dim=1)


@contextmanager
def noted_losses(found: list[float]) -> Iterator[None]:
    """Append to ``found`` all that ``backward`` is called on inside the block."""
    original: Callable[..., None] = Tensor.backward

    def noted(self: Tensor, *args: Any, **kwargs: Any) -> None:
        found.append(self.item())
        original(self, *args, **kwargs)

    Tensor.backward = noted  # type: ignore[method-assign]
    try:
        yield
    finally:
        Tensor.backward = original  # type: ignore[method-assign]
