"""Synthetic images of several rows beside real ones, as in the paper's Figure 4."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from reports.errors import ReportError
from reports.figures.style import WIDTH, new_figure, plain, styled

Pictures = NDArray[np.uint8]
"""Images of one kind: number, height, width, 3."""


def image_rows(rows: Mapping[str, Pictures], *, across: int = 8) -> Figure:
    """Return a line of pictures for each of ``rows``, under their names: the first ``across`` of each.

    Raises:
        ReportError: there are no pictures.
    """
    if not rows:
        raise ReportError("Pictures must be there to be shown, but no run has any: they come with its first epoch.")
    with styled():
        side = WIDTH / across
        figure = new_figure((side + 0.22) * len(rows))
        grid = figure.subplots(len(rows), across, squeeze=False)
        for line, (name, pictures) in zip(grid, rows.items(), strict=True):
            for axes, picture in zip(line, pictures[:across], strict=False):
                axes.imshow(picture, interpolation="nearest")
            for axes in line:
                axes.set_axis_off()
            line[0].set_title(plain(name), loc="left", pad=2)
    return figure


def tiles(sheet: Pictures, *, size: int, gap: int = 2) -> Pictures:
    """Return the images of a ``sheet`` of squares of ``size`` pixels, with ``gap`` pixels around each, line by line."""
    step = size + gap
    down, across = (sheet.shape[0] - gap) // step, (sheet.shape[1] - gap) // step
    corners = [(gap + y * step, gap + x * step) for y in range(down) for x in range(across)]
    return np.stack([sheet[top : top + size, left : left + size, :3] for top, left in corners])
