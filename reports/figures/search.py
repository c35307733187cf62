"""Figures of a search, from a line per trial: ``number``, ``value`` (more is better), ``state``, and its parameters."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.errors import ReportError
from reports.figures.style import COLOURS, GAP, WIDTH, label_room, new_figure, plain, styled, tilt_labels, whole_numbers
from reports.statistics import CONFIDENCE


def _complete(trials: pd.DataFrame) -> pd.DataFrame:
    complete = trials[(trials["state"] == "COMPLETE") & trials["value"].notna()]
    if complete.empty:
        raise ReportError("A search must have a finished trial to be drawn, but none of this one has a value.")
    return complete


def search_history(trials: pd.DataFrame, *, objective: str) -> Figure:
    """Return the value of each trial, and the best so far; failed trials are marked below."""
    complete = _complete(trials)
    failed = trials[trials["state"] == "FAIL"]
    with styled():
        figure = new_figure()
        axes = figure.subplots()
        axes.plot(complete["number"], complete["value"], "o", color=COLOURS[4], markersize=4, label="trial")
        best = complete["value"].cummax()
        axes.step(complete["number"], best, where="post", color=COLOURS[0], label="best so far")
        if len(failed):
            floor = np.full(len(failed), complete["value"].min())
            axes.plot(failed["number"], floor, "x", color=COLOURS[1], label="failed, no value")
        axes.set_xlabel("trial")
        axes.set_ylabel(objective)
        whole_numbers(axes)
        axes.legend(fontsize=8)
    return figure


def parallel_coordinates(trials: pd.DataFrame, *, parameters: Sequence[str], objective: str) -> Figure:
    """Return a line per trial through the values of its ``parameters``; the better, the darker.

    A trial that lacks a parameter, since a condition did not hold, has a gap there. Names that have no room beside one
    another are tilted; the figure is as wide as the values that it names need.
    """
    complete = _complete(trials).sort_values("value")
    columns = [*parameters, "value"]
    ranked = complete["value"].rank(pct=True)
    with styled():
        figure = new_figure(3.4)
        axes = figure.subplots()
        scaled: dict[str, Any] = {}
        ticks: dict[str, list[tuple[float, str]]] = {}
        for name in columns:
            scaled[name], ticks[name] = _scaled(complete[name])
        for index, share in ranked.items():
            heights = [scaled[name][index] for name in columns]
            axes.plot(range(len(columns)), heights, color=COLOURS[0], alpha=0.08 + 0.8 * share**3, lw=1)
        for x, name in enumerate(columns):
            for height, label in ticks[name]:
                box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
                axes.text(x + 0.03, height, plain(label), fontsize=7, va="center", color="#333333", bbox=box)
        _name_columns(figure, axes, [*parameters, objective])
        axes.set_yticks([])
        axes.grid(axis="x", color="#999999")
        axes.spines["left"].set_visible(False)
    return figure


def _name_columns(figure: Figure, axes: Axes, names: Sequence[str]) -> None:
    """Write the names below their columns and make the figure as large as they and the values need."""
    span = 1.1 * (len(names) - 1)  # columns, with matplotlib's margins

    def first() -> float:
        return axes.get_xticklabels()[0].get_window_extent().width / figure.dpi

    axes.set_xticks(range(len(names)), [plain(name).replace("." if "." in name else " ", "\n") for name in names])
    if span * label_room(figure, axes) + first() > WIDTH:
        tilt_labels(figure, axes, [plain(name) for name in names])
    value = max(text.get_window_extent().width for text in axes.texts) / figure.dpi + GAP
    figure.set_figwidth(max(WIDTH, (span + 1) * value + first()))


def _scaled(values: "pd.Series[Any]") -> tuple["pd.Series[Any]", list[tuple[float, str]]]:
    """Return ``values`` between 0 and 1, and what to write at which height."""
    if pd.api.types.is_numeric_dtype(values.dropna().infer_objects()):
        numbers = values.astype(float)
        low, high = numbers.min(), numbers.max()
        width = (high - low) or 1.0
        return (numbers - low) / width, [(0.0, f"{low:.3g}"), (1.0, f"{high:.3g}")]
    names = sorted(values.dropna().astype(str).unique())
    heights = {name: i / max(1, len(names) - 1) for i, name in enumerate(names)}
    return values.map(lambda name: heights.get(str(name), np.nan)), [(at, name) for name, at in heights.items()]


def importance_table(shares: Mapping[str, float], resampled: Mapping[str, Sequence[float]]) -> pd.DataFrame:
    """Return a line per parameter, the largest share first: ``parameter``, ``share``, and ``low`` and ``high``.

    The latter hold the middle 95 % of ``resampled``, the shares in resampled trials: a percentile bootstrap.
    """
    ends = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    intervals = {name: np.quantile(resampled[name], ends) for name in shares}
    lines = [
        {"parameter": name, "share": share, "low": float(intervals[name][0]), "high": float(intervals[name][1])}
        for name, share in sorted(shares.items(), key=lambda each: -each[1])
    ]
    return pd.DataFrame(lines, columns=["parameter", "share", "low", "high"])


def importances(table: pd.DataFrame, *, objective: str, notes: Sequence[str]) -> Figure:
    """Return the lines of ``importance_table`` as bars with intervals; ``notes`` below say what they rest on."""
    ordered = table[::-1].reset_index(drop=True)
    with styled():
        figure = new_figure(1.0 + 0.34 * len(ordered) + 0.16 * len(notes))
        axes = figure.subplots()
        axes.barh(ordered.index, ordered["share"], color=COLOURS[4], height=0.6)
        axes.hlines(ordered.index, ordered["low"], ordered["high"], color="black", lw=1.4)
        axes.set_yticks(ordered.index, [plain(name) for name in ordered["parameter"]])
        axes.set_xlim(0, 1)
        axes.set_xlabel(f"share of importance for {objective}")
        figure.supxlabel("\n".join(map(plain, notes)), x=0.01, ha="left", fontsize=8)
    return figure


def objective_front(trials: pd.DataFrame, *, objectives: tuple[str, str], minimised: bool = False) -> Figure:
    """Return two objectives against each other (columns ``value`` and ``value_2``), with the front not beaten.

    With ``minimised`` less of the second one is better.
    """
    complete = (
        _complete(trials).dropna(subset="value_2").sort_values(["value_2", "value"], ascending=[minimised, False])
    )
    front = complete[complete["value"] > complete["value"].cummax().shift(fill_value=-np.inf)]
    with styled():
        figure = new_figure()
        axes = figure.subplots()
        axes.plot(complete["value_2"], complete["value"], "o", color=COLOURS[4], markersize=4, label="trial")
        axes.plot(front["value_2"], front["value"], "-s", color=COLOURS[0], markersize=5, label="not beaten in both")
        axes.set_xlabel(objectives[1])
        axes.set_ylabel(objectives[0])
        axes.legend(fontsize=8)
    return figure
