"""``dfkd models``: the networks there are, and what they cost."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from dfkd.config import ARCHITECTURES, DataConfig
from harness.cli.options import JsonOption, guarded


@guarded
def models(
    image_size: Annotated[
        int, typer.Option("--image-size", help="Height and width of the images in pixels, a multiple of 16.")
    ] = 224,
    classes: Annotated[int, typer.Option("--classes", min=2, help="Number of classes.")] = 200,
    as_json: JsonOption = False,
) -> int:
    """List the networks: parameters, arithmetic for one image, feature maps. Computes and writes nothing."""
    DataConfig(image_size=image_size)  # refuses what is not a multiple of 16
    networks = [_describe(name, classes=classes, image_size=image_size) for name in ARCHITECTURES]
    if as_json:
        print(json.dumps({"image_size": image_size, "classes": classes, "networks": networks}, indent=1))
    else:
        _print(networks, classes=classes, image_size=image_size)
    return 0


def _describe(name: str, *, classes: int, image_size: int) -> dict[str, Any]:
    from dfkd.models.cost import measure

    classifier, cost = measure(name, classes=classes, image_size=image_size)
    return {
        "name": name,
        "parameters": cost.parameters,
        "flops": cost.flops,
        "multiply_accumulates": cost.multiply_accumulates,
        "stages": [
            {"path": path, "channels": channels, "size": size}
            for path, channels, size in zip(
                classifier.stages, classifier.stage_channels, classifier.stage_sizes, strict=True
            )
        ],
        "feature_size": classifier.feature_size,
    }


def _print(networks: list[dict[str, Any]], *, classes: int, image_size: int) -> None:
    table = Table(
        "network",
        title=f"Networks for {classes} classes at {image_size} x {image_size} pixels",
        title_justify="left",
        title_style="bold",
    )
    for heading in ("parameters (M)", "GFLOPs"):
        table.add_column(heading, justify="right")
    table.add_column("stages: channels x pixels")
    table.add_column("penultimate", justify="right")
    for network in networks:
        table.add_row(
            network["name"],
            f"{network['parameters'] / 1e6:.2f}",
            f"{network['flops'] / 1e9:.3f}",
            ", ".join(f"{stage['channels']}x{stage['size']}" for stage in network["stages"]),
            str(network["feature_size"]),
        )
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    console.print(
        "GFLOPs are thousand millions of multiply-accumulates for one image, batch norms included, as in the paper's "
        "Table 1."
    )
