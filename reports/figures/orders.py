"""The orders of the attention beside one another."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from harness.records import Plan
from reports.errors import ReportError
from reports.figures.runs import ENOUGH, finished, selected, varied_settings
from reports.figures.style import label_room, looks, new_figure, outer_legend, plain, styled, tilt_labels
from reports.frame import SETTING
from reports.statistics import mean_interval

ORDERS, WEIGHT = "student_loss.mhad.orders", "student_loss.mhad.weight"
NONE = "none"
"""Stands for L_MHAD switched off."""
AXES = 4.8
"""Inches of the axes' width, between the label left of them and a legend of seeds at their right."""


def order_comparison(frame: pd.DataFrame, *, plan: Plan, selection: str = "last") -> Figure:
    """Return the accuracy of each mixture of attention orders, from few orders to many; without L_MHAD comes first.

    A thin line is a seed, the square the mean over seeds, the bar its interval from three seeds on. Mixtures that have
    no room beside one another are tilted.

    Raises:
        ReportError: no run is done, or the rows do not vary the orders, or vary something else as well.
    """
    done = finished(frame, plan, selection)
    _check(done, plan)
    mixtures = done[f"{SETTING}{ORDERS}"].where(done[f"{SETTING}{WEIGHT}"].astype(float) != 0, NONE)
    names = sorted(mixtures.unique(), key=_rank)
    percent = done.assign(mixture=mixtures, accuracy=100 * done[selection]).drop_duplicates(["mixture", "seed"])
    accuracy = percent.pivot(index="seed", columns="mixture", values="accuracy").reindex(
        index=list(plan.seeds), columns=names
    )
    with styled():
        figure = new_figure()
        axes = figure.subplots()
        for (seed, values), look in zip(accuracy.iterrows(), looks(len(plan.seeds)), strict=True):
            style: dict[str, Any] = {**look, "markersize": 4, "linewidth": 0.8, "alpha": 0.7}
            axes.plot(range(len(names)), values, **style, label=f"seed {seed}")
        for x, name in enumerate(names):
            values = accuracy[name].dropna()
            if len(values) >= ENOUGH:
                interval = mean_interval(values.tolist())
                axes.plot([x, x], [interval.low, interval.high], color="black", lw=1.4, zorder=3)
            axes.plot(x, values.mean(), "s", color="black", markersize=6, zorder=4, label="mean" if x == 0 else None)
        axes.set_xticks(range(len(names)), names)
        if label_room(figure, axes) * len(names) > AXES:
            tilt_labels(figure, axes, names)
        axes.set_xlim(-0.5, len(names) - 0.5)
        axes.set_xlabel("orders of the attention")
        axes.set_ylabel(selected("accuracy (%)", selection))
        axes.set_title(plain(plan.title), loc="left")
        outer_legend(figure, axes)
    return figure


def _check(done: pd.DataFrame, plan: Plan) -> None:
    varied = varied_settings(done)
    weights = {float(each) for each in done.get(f"{SETTING}{WEIGHT}", pd.Series(dtype=float)).dropna()}
    others = [key for key in varied if key not in (ORDERS, WEIGHT)]
    if ORDERS not in varied or others or len(weights - {0.0}) > 1:
        raise ReportError(
            f"The rows must vary {ORDERS} and nothing else, but for rows without L_MHAD; those of {plan.grid!r} vary: "
            f"{', '.join(varied) or 'none'}. The grid table5 does."
        )


def _rank(mixture: str) -> tuple[int, list[int]]:
    orders = [] if mixture == NONE else [int(order) for order in mixture.split("+")]
    return len(orders), orders
