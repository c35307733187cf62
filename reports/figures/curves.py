"""Curves of training: a metric over epochs or over time."""

import numpy as np
from matplotlib.figure import Figure

from harness.records import Plan
from reports.curves import AXES, Logs, across_seeds, percent, reached, seed_curves, teacher_level
from reports.errors import ReportError
from reports.figures.style import looks, new_figure, outer_legend, plain, styled, whole_numbers


def training_curves(
    logs: Logs, *, plan: Plan, metric: str = "test_accuracy", over: str = "epochs", teacher_share: float | None = None
) -> Figure:
    """Return each row's ``metric``: the mean of its seeds, and a band from the lowest to the highest.

    Over time, ``cpu-minutes`` or ``wall-minutes``, seeds are interpolated between the ends of their epochs, and drawn
    from where all have one. With ``teacher_share`` a line is drawn at that fraction of the teacher's accuracy, and a
    triangle where the median seed has reached it.

    Raises:
        ReportError: no run has recorded the metric, one lacks its times, the started seeds of no row share a point, or
            the teacher's accuracy is not known.
    """
    curves = seed_curves(logs, plan=plan, metric=metric, over=over)
    level = None if teacher_share is None else teacher_level(teacher_share, plan=plan, metric=metric)
    with styled():
        figure = new_figure()
        axes = figure.subplots()
        for row, look in zip(plan.rows, looks(len(plan.rows)), strict=True):
            table = across_seeds(curves[row]) if row in curves else None
            if table is None or table.empty:
                continue
            every = max(1, len(table) // 10)
            label = plain(f"{row} (n = {len(curves[row])})")
            axes.plot(table.index, table["mean"], **look, label=label, markersize=3.5, markevery=every)
            axes.fill_between(table.index, table["low"], table["high"], color=look["color"], alpha=0.15, lw=0)
            median = (
                float("inf") if level is None else float(np.median([reached(c, level) for c in curves[row].values()]))
            )
            if level is not None and np.isfinite(median):
                axes.plot(median, level, "v", color=look["color"], markersize=7, markeredgecolor="black", zorder=3)
        if not axes.lines:
            raise ReportError(
                f"A curve needs a point that all started seeds of a row cover, but no row of {plan.grid!r} has one."
            )
        if teacher_share is not None and level is not None:
            words = f"{100 * teacher_share:g} % of the teacher's {100 * plan.context['teacher_accuracy']:.2f} %"
            axes.axhline(level, color="black", lw=1, linestyle=(0, (4, 3)), label=words, zorder=1)
            axes.plot([], [], "v", color="white", markersize=7, markeredgecolor="black", label="reached, median seed")
        axes.set_xlabel(AXES[over].title)
        axes.set_ylabel(f"{metric.replace('_', ' ')}{' (%)' if percent(metric) == 100 else ''}")
        if over == "epochs":
            whole_numbers(axes)
        else:
            axes.set_xlim(left=0)
        long = 3.5  # enough to tell dashes from a line
        if len(plan.rows) > 4:
            outer_legend(figure, axes, handlelength=long)
        else:
            axes.legend(fontsize=8, handlelength=long)
    return figure
