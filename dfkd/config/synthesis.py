"""Where synthetic images come from, and what is kept of them."""

from dataclasses import dataclass

from dfkd.config.rules import require_choice

SYNTHESES = ("generator",)
REPLAYS = ("none",)


@dataclass(frozen=True, kw_only=True)
class SynthesisConfig:
    """Where synthetic images come from."""

    kind: str = "generator"
    """``generator``: a network that makes images of noise, trained in turns with the student."""

    def __post_init__(self) -> None:
        require_choice("synthesis.kind", self.kind, SYNTHESES)


@dataclass(frozen=True, kw_only=True)
class ReplayConfig:
    """What the student is shown again of former images."""

    kind: str = "none"
    """``none``: nothing, every image is new."""

    def __post_init__(self) -> None:
        require_choice("replay.kind", self.kind, REPLAYS)
