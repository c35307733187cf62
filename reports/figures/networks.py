"""What networks look at: features of real images in the plane, and maps laid over images."""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from reports.errors import ReportError
from reports.figures.pictures import Pictures
from reports.figures.style import WIDTH, plain, point_looks, styled

Array = NDArray[Any]

ACROSS = 3
"""Panels of features side by side."""
PERPLEXITY = 30
"""Of t-SNE; less for fewer than 91 images, three times as many as neighbours."""


def feature_map(features: Mapping[str, Array], labels: Array, *, class_names: Sequence[str]) -> Figure:
    """Return a panel for each network with the t-SNE of its ``features`` (images, length), as in the paper's Figure 5.

    ``labels`` are positions in ``class_names``. Each panel names the mean silhouette of the classes in the features
    themselves, from -1 to 1: t-SNE keeps neighbours and no distances, so that how far groups lie apart says nothing.

    Raises:
        ReportError: there are fewer than two classes, or than two images of a class.
    """
    from sklearn.metrics import silhouette_score  # here, because scikit-learn takes a second to import

    counts = np.bincount(labels, minlength=len(class_names))
    if len(class_names) < 2 or counts.min() < 2:
        raise ReportError(
            "A map of features needs two classes with two images each, but the images are: "
            + ", ".join(f"{count} of {name}" for name, count in zip(class_names, counts, strict=True))
            + "."
        )
    across = min(ACROSS, len(features))
    down = -(-len(features) // across)
    with styled():
        titles = {name: fill(name, 84 // across) for name in features}
        room = 0.06 + 0.15 * (2 + max(title.count("\n") for title in titles.values()))
        foot = 0.1 + 0.17 * -(-len(class_names) // 2)
        figure, lines = _squares(down, across, head=room, room=room + 0.05, foot=foot)
        grid = [axes for line in lines for axes in line]
        for axes, (name, points) in zip(grid, features.items(), strict=False):
            plane = _plane(points)
            for label, (class_name, look) in enumerate(zip(class_names, point_looks(len(class_names)), strict=True)):
                own = plane[labels == label]
                axes.plot(own[:, 0], own[:, 1], **look, markersize=3.5, alpha=0.85, label=plain(class_name))
            score = silhouette_score(points, labels)
            axes.set_title(plain(f"{titles[name]}\nsilhouette {score:+.2f}"), loc="left", pad=3)
            axes.set_axis_on()
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[["top", "right"]].set_visible(True)
        handles, names = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, names, fontsize=8, ncols=2, loc="lower center", markerscale=1.4)
    return figure


def _plane(points: Array) -> Array:
    """Return t-SNE in the plane, from the principal components; on one thread, so that equal points give equal."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(PERPLEXITY, (len(points) - 1) / 3)
    with threadpool_limits(1):
        return np.asarray(TSNE(init="pca", random_state=0, perplexity=perplexity).fit_transform(points))


def map_rows(
    pictures: Pictures,
    maps: Mapping[str, Sequence[Array | None]],
    *,
    titles: Sequence[str],
    shared: bool,
) -> Figure:
    """Return a line of ``pictures`` under their ``titles``, and below it a line for each of ``maps``, laid over them.

    A map is (height, width), of whatever size, and none negative; None leaves its place empty. Bright is more: with
    ``shared`` from the lowest to the highest value of a line, which are then named, else from 0 to the highest of each
    map.

    Raises:
        ReportError: there are no pictures, or no maps.
    """
    if not len(pictures) or not any(each is not None for line in maps.values() for each in line):
        raise ReportError("Maps and the images that they belong to must be there to be drawn, but there are none.")
    with styled():
        head = 0.06 + 0.12 * (1 + max(each.count("\n") for each in titles))
        figure, grid = _squares(1 + len(maps), len(pictures), head=head, room=0.2)
        for axes, picture, title in zip(grid[0], pictures, titles, strict=True):
            axes.imshow(picture, interpolation="nearest")
            axes.set_title(plain(title), fontsize=min(7.0, 60 / len(pictures)), pad=2)
        for line, (name, values) in zip(grid[1:], maps.items(), strict=True):
            known = [each for each in values if each is not None]
            low, high = (min(each.min() for each in known), max(each.max() for each in known)) if known else (0, 0)
            numbers = f", {low:.3g} to {high:.3g}" if shared and known else ""
            line[0].set_title(plain(f"{name}{numbers}"), loc="left", pad=2, fontsize=8)
            for axes, picture, each in zip(line, pictures, values, strict=True):
                if each is not None:
                    _lay_over(axes, picture, each, (low, high) if shared else (0.0, float(each.max())))
    return figure


def _squares(down: int, across: int, *, head: float, room: float, foot: float = 0.0) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure of squares without axes: inches above the first line, between lines, and below the last.

    Placed by hand: a layout engine would make a column as wide as the name of a line.
    """
    side, gap = WIDTH / across, 0.04
    height = head + side * down + room * (down - 1) + foot
    figure = Figure(figsize=(WIDTH, height))
    lines = []
    for i in range(down):
        bottom = height - head - side * (i + 1) - room * i
        places = [(side * j + gap / 2, bottom + gap / 2, side - gap, side - gap) for j in range(across)]
        lines.append([figure.add_axes((x / WIDTH, y / height, w / WIDTH, h / height)) for x, y, w, h in places])
    for axes in figure.axes:
        axes.set_axis_off()
    return figure, lines


def _lay_over(axes: Axes, picture: Array, values: Array, limits: tuple[float, float]) -> None:
    """Draw the picture in grey and the map over it."""
    height, width = picture.shape[:2]
    grey = picture @ np.array([0.299, 0.587, 0.114])
    axes.imshow(grey, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    low, high = limits
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    top = high if high > low else low + 1
    axes.imshow(values, cmap="inferno", vmin=low, vmax=top, alpha=0.6, interpolation="bilinear", extent=extent)
