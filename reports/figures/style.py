"""One style for every figure: legible in print, in grey and to colour-blind readers; equal runs give equal bytes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from itertools import cycle, islice, pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Okabe and Ito (2008), "Color Universal Design", without the yellow, which is too light for lines."""
DASHES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
WIDTH = 6.5
"""Inches: of a page's text."""
GAP = 0.08
"""Inches between two labels."""
COLUMN_GAP = 1.5
"""Between the columns of a legend, in its font size."""

STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "svg.hashsalt": "dfkd",
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw in this style, without a window."""
    with mpl.rc_context(STYLE):
        yield


def new_figure(height: float = 3.2, width: float = WIDTH) -> Figure:
    """Return an empty figure; it belongs to no window, so that nothing has to be closed."""
    return Figure(figsize=(width, height), layout="constrained")


def looks(count: int) -> list[dict[str, Any]]:
    """Return colour, dash and marker for each of ``count`` lines; no two are alike up to 28."""
    dashes = [dash for dash in DASHES for _ in COLOURS]
    kinds = zip(cycle(COLOURS), cycle(dashes), cycle(MARKERS), strict=False)
    return [{"color": c, "linestyle": d, "marker": m} for c, d, m in islice(kinds, count)]


def point_looks(count: int) -> list[dict[str, Any]]:
    """Return colour, marker and face for each of ``count`` series without lines; no two are alike up to 98.

    The colours are those of ``looks``, and up to 14 the markers; from 8 on every other seven are hollow.
    """
    series = []
    for number in range(count):
        turn, colour = divmod(number, len(COLOURS))
        marker = MARKERS[(colour + turn // 2) % len(MARKERS)]
        face = {"markerfacecolor": "none"} if turn % 2 else {}
        series.append({"color": COLOURS[colour], "marker": marker, "linestyle": "none", **face})
    return series


def outer_legend(figure: Figure, axes: Axes, **options: Any) -> None:
    """Name what is drawn right of the axes, or below them, in columns, where that is higher than they are or too wide.

    Below, the figure grows by the legend's height, so that the axes keep theirs. It has to be called last, since the
    words above and below the axes take of their height.
    """
    whole = axes.get_tightbbox()
    words = whole.height - axes.bbox.height if whole else 0.0
    beside = axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5), **options)
    box = beside.get_window_extent()
    width, height = figure.get_size_inches()
    if (box.height + words) / figure.dpi <= height and box.width / figure.dpi <= width / 2:
        return
    beside.remove()
    columns = max(1, int(width / (box.width / figure.dpi + COLUMN_GAP * 8 / 72)))
    below = figure.legend(
        *axes.get_legend_handles_labels(),
        fontsize=8,
        loc="outside lower center",
        ncols=columns,
        columnspacing=COLUMN_GAP,
        **options,
    )
    figure.set_figheight(height + below.get_window_extent().height / figure.dpi)


def label_room(figure: Figure, axes: Axes) -> float:
    """Return the inches from tick to tick that the labels along the x axis need, where they are not tilted."""
    widths = [label.get_window_extent().width / figure.dpi for label in axes.get_xticklabels()]
    return max(((left + right) / 2 for left, right in pairwise(widths)), default=0.0) + GAP


def tilt_labels(figure: Figure, axes: Axes, names: Sequence[str]) -> None:
    """Write ``names`` at the ticks 0, 1, ... of the x axis, tilted; the figure grows by what the labels do."""

    def height() -> float:
        return max(label.get_window_extent().height for label in axes.get_xticklabels()) / figure.dpi

    before = height()
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    figure.set_figheight(figure.get_figheight() + height() - before)


def whole_numbers(axes: Axes) -> None:
    """Write whole numbers alone along the x axis."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def plain(text: str) -> str:
    """Return ``text`` so that matplotlib reads no mathematics into it."""
    return text.replace("$", r"\$")


def to_bytes(figure: Figure, format: str) -> bytes:
    """Return the figure as ``png``, ``svg`` or ``pdf``; without a date, so that equal figures are equal files."""
    output = BytesIO()
    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    with styled():
        figure.savefig(output, format=format, metadata=dates.get(format))
    return output.getvalue()


def save(figure: Figure, stem: Path, table: pd.DataFrame | None = None) -> list[Path]:
    """Write the figure beside ``stem`` as PNG and SVG, and the ``table`` of its numbers as CSV; return the files."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [stem.with_name(f"{stem.name}.{format}") for format in ("png", "svg")]
    for path in paths:
        path.write_bytes(to_bytes(figure, path.suffix[1:]))
    if table is not None:
        paths.append(stem.with_name(f"{stem.name}.csv"))
        table.to_csv(paths[-1], index=False, float_format="%.6f", lineterminator="\n")
    return paths
