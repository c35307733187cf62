"""Where synthetic images come from, and what is kept of them."""

from dataclasses import dataclass

from dfkd.config.rules import require, require_choice

SYNTHESES = ("generator",)
REPLAYS = ("none", "generator")


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
    """``none``: nothing, every image is new. ``generator``: images of a generator whose weights are a moving average of
    the trained one's."""
    fraction: float = 0.5
    """The share of a student step's images that come from the replay."""
    momentum: float = 0.95
    """What the moving average keeps of itself at each generator step."""

    def images(self, batch_size: int) -> int:
        """Return how many of a student step's images come from the replay."""
        return 0 if self.kind == "none" else round(self.fraction * batch_size)

    def __post_init__(self) -> None:
        require_choice("replay.kind", self.kind, REPLAYS)
        require(0 < self.fraction <= 1, "in (0, 1]", "replay.fraction", self.fraction)
        require(0 <= self.momentum < 1, "in [0, 1)", "replay.momentum", self.momentum)
