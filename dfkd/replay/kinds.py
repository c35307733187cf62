"""The kinds of replay, by name."""

from collections.abc import Callable

from dfkd.replay.autoencoder import AutoencoderReplay
from dfkd.replay.generator import GeneratorReplay
from dfkd.replay.images import ImageReplay
from dfkd.replay.interface import Replay
from dfkd.synthesis.interface import Judges, Synthesizer

KINDS: dict[str, Callable[[Judges, Synthesizer], Replay] | None] = {
    "none": None,
    "generator": GeneratorReplay,
    "images": ImageReplay,
    "autoencoder": AutoencoderReplay,
}
"""By ``replay.kind``."""
