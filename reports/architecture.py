"""The paper's Table 6 from the modules themselves: the harness hands in their layers."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pandas as pd

from reports.sheet import Column, Entry, Sheet


@dataclass(frozen=True)
class Layer:
    """One layer of a network, as it was built."""

    part: str
    """What it belongs to."""
    kind: str
    kernel: str
    channels: str
    """Before and after, or the number that it keeps."""
    parameters: int


def architecture_sheet(layers: Sequence[Layer], *, image_size: int) -> Sheet:
    """Return a line per layer, a rule between parts, and the sum of the parameters in the caption."""
    names = ("Part", "Layer", "Kernel", "Channels", "Parameters")
    heads = tuple(Column(name, number=name == "Parameters") for name in names)
    lines = tuple(
        (Entry(one.part), Entry(one.kind), Entry(one.kernel), Entry(one.channels), Entry(f"{one.parameters:,}"))
        for one in layers
    )
    rules = tuple(i for i in range(1, len(layers)) if layers[i].part != layers[i - 1].part)
    total = sum(layer.parameters for layer in layers)
    caption = (
        f"The generator with its spatial attention, as it is built for {image_size} x {image_size} pixels: "
        f"{total:,} parameters. The paper's Table 6."
    )
    numbers = pd.DataFrame([asdict(one) for one in layers]).set_index("part")
    return Sheet("table6", caption, heads, lines, numbers, rules)
