"""The kinds of synthesis, by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from dfkd.config import RunConfig
from dfkd.synthesis.generator import GeneratorSynthesis, generator_pictures
from dfkd.synthesis.images import ImageSynthesis, finished_pictures
from dfkd.synthesis.interface import Judges, Synthesizer
from dfkd.synthesis.noise import NoiseSynthesis


@dataclass(frozen=True)
class Kind:
    """One kind of synthesis."""

    build: Callable[[Judges], Synthesizer]
    """Of a run, at its initial state."""
    pictures: Callable[[Mapping[str, Any], RunConfig, int], Tensor]
    """So many images in [0, 1], (count, 3, size, size), from the state of a run that ``load_state`` would take."""
    has_generator: bool = True
    """Whether ``Judges.networks`` needs a generator."""


KINDS = {
    "generator": Kind(GeneratorSynthesis, generator_pictures),
    "images": Kind(ImageSynthesis, finished_pictures, has_generator=False),
    "generator_and_noise": Kind(NoiseSynthesis, finished_pictures),
}
"""By ``synthesis.kind``."""
