"""Figures of a grid's runs: every seed of every row, curves over a weight, interactions, cost."""

from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from harness.records import Plan
from reports.cost import Networks, cost_table
from reports.errors import ReportError
from reports.figures.style import COLOURS, new_figure, outer_legend, plain, point_looks, styled
from reports.frame import SETTING
from reports.statistics import mean_interval
from reports.table import SELECTIONS, ablation_table, accuracy_by_seed, ranked_accuracy, ranked_words

ENOUGH = 3
"""Seeds below which no interval is drawn."""


def selected(unit: str, selection: str, *, width: int = 34) -> str:
    """Return what an axis says: the ``unit``, and which accuracy was selected unless it is that of the last epoch.

    Its lines are of ``width`` characters, as many as an upright label has room for.
    """
    return unit if selection == "last" else fill(f"{unit}: {SELECTIONS[selection]}", width)


def row_plot(frame: pd.DataFrame, *, plan: Plan, selection: str = "last") -> Figure:
    """Return a line per row with every seed's accuracy, the mean, and from three seeds on its interval."""
    accuracy = accuracy_by_seed(frame, plan=plan, selection=selection)
    with styled():
        figure = new_figure(0.9 + 0.34 * len(plan.rows))
        axes = figure.subplots()
        for y, row in enumerate(plan.rows):
            values = accuracy[row].dropna()
            if len(values) >= ENOUGH:
                interval = mean_interval(values.tolist())
                axes.plot([interval.low, interval.high], [y, y], color="black", lw=1.4, zorder=2)
            if len(values):
                axes.plot(values.mean(), y, "|", color="black", markersize=12, markeredgewidth=2, zorder=3)
            else:
                axes.text(0.02, y, "not run", va="center", color="#555555", transform=axes.get_yaxis_transform())
        for seed, look in zip(plan.seeds, point_looks(len(plan.seeds)), strict=True):
            shift = np.arange(len(plan.rows)) + 0.0
            axes.plot(accuracy.loc[seed], shift, **look, markersize=5, alpha=0.85, label=f"seed {seed}")
        axes.set_yticks(range(len(plan.rows)), [plain(row) for row in plan.rows])
        axes.set_ylim(len(plan.rows) - 0.5, -0.5)
        axes.set_xlabel(selected("accuracy (%)", selection, width=60))
        outer_legend(figure, axes)
    return figure


def finished(frame: pd.DataFrame, plan: Plan, selection: str) -> pd.DataFrame:
    """Return the lines of runs that are done and have the selected accuracy; raise ReportError if there are none."""
    done = frame[(frame["status"] == "done") & frame[selection].notna()]
    if done.empty:
        raise ReportError(
            f"A run must be done, with {SELECTIONS[selection]}, to be drawn, but none of {plan.grid!r} is."
        )
    return done


def varied_settings(frame: pd.DataFrame) -> list[str]:
    """Return the fields of the configuration, but the seed, that differ among the runs, in the frame's order."""
    fields = [name for name in frame if str(name).startswith(SETTING) and name != f"{SETTING}seed"]
    return [str(name).removeprefix(SETTING) for name in fields if frame[name].dropna().nunique() > 1]


def response_curve(frame: pd.DataFrame, *, plan: Plan, selection: str = "last", field: str | None = None) -> Figure:
    """Return the accuracy over one numeric field of the configuration, as in the paper's Figure 7.

    Every seed is a point; the line is the mean, the bars its interval from three seeds on. Without ``field`` it is the
    one that the rows vary.

    Raises:
        ReportError: the rows vary no numeric field, or several, or ``field`` is not numeric.
    """
    done = finished(frame, plan, selection).drop_duplicates("cell")  # one that two rows share is one run
    key = field or _one_field(frame, plan)
    if not pd.api.types.is_numeric_dtype(_known(done, key)):
        values = ", ".join(map(str, _known(done, key).unique()))
        raise ReportError(f"A response curve must be over a numeric field, but {key} of {plan.grid!r} is: {values}.")
    done = done.assign(x=done[f"{SETTING}{key}"].astype(float))
    _refuse_pools(done, key, plan)
    groups: Any = done.groupby("x")
    points: dict[float, Any] = {x: 100 * runs[selection].dropna() for x, runs in groups}
    with styled():
        figure = new_figure()
        axes = figure.subplots()
        for x, values in points.items():
            axes.plot([x] * len(values), values, "o", color=COLOURS[4], markersize=4, alpha=0.8)
            if len(values) >= ENOUGH:
                interval = mean_interval(values.tolist())
                axes.plot([x, x], [interval.low, interval.high], color=COLOURS[0], lw=1.4)
        means = [values.mean() for values in points.values()]
        axes.plot(list(points), means, "-s", color=COLOURS[0], markersize=4, label="mean over seeds")
        positive = [x for x in points if x > 0]
        if positive and max(points) / min(positive) > 30:
            axes.set_xscale("symlog", linthresh=min(positive))
            axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.set_xlabel(key)
        axes.set_ylabel(selected("accuracy (%)", selection))
        axes.set_title(plain(plan.title), loc="left")
        axes.legend(fontsize=8)
    return figure


def _refuse_pools(done: pd.DataFrame, key: str, plan: Plan) -> None:
    """Raise ReportError if runs with one value of ``key`` differ in something else: a point would mix them."""
    others = [f"{SETTING}{name}" for name in varied_settings(done) if name != key]
    values = done.groupby("x")[others].nunique(dropna=False) if others else pd.DataFrame()
    mixed = [str(name).removeprefix(SETTING) for name in values if (values[name] > 1).any()]
    if mixed:
        raise ReportError(
            f"Runs with one value of {key} must be alike for a response curve, but those of {plan.grid!r} differ in "
            f"{', '.join(mixed)} too. `dfkd figure interaction` shows two fields; or make a grid of one."
        )


def _one_field(frame: pd.DataFrame, plan: Plan) -> str:
    varied = [key for key in varied_settings(frame) if pd.api.types.is_numeric_dtype(_known(frame, key))]
    if len(varied) != 1:
        what = ", ".join(varied) or "none"
        raise ReportError(
            f"The rows must vary one numeric field for a response curve, but those of {plan.grid!r} vary: {what}. "
            "Name one with `--field`."
        )
    return varied[0]


def _known(frame: pd.DataFrame, key: str) -> "pd.Series[Any]":
    return frame[f"{SETTING}{key}"].dropna().infer_objects()


def interaction_map(frame: pd.DataFrame, *, plan: Plan, selection: str = "last") -> Figure:
    """Return how two fields act together.

    Where the rows vary two fields (``product``): the mean accuracy at each pair of values. Where they switch parts off
    (``pairwise``): for each two parts the interaction, full - without a - without b + without both, and on the diagonal
    what each brings alone, full - without it; in points.

    Raises:
        ReportError: the rows are neither.
    """
    done = finished(frame, plan, selection)
    keys = varied_settings(done)
    if len(keys) == 2:
        # Rows with the same settings are the same cell.
        means = (
            (100 * done.drop_duplicates("cell")[selection]).groupby([done[f"{SETTING}{key}"] for key in keys]).mean()
        )
        return _heat_map(means.unstack(), keys[1], keys[0], selected("accuracy (%)", selection, width=26), signed=False)
    table = _interactions(done, keys, selection) if len(keys) > 2 else None
    if table is None or table.isna().all(axis=None):
        raise ReportError(
            f"The rows must vary two fields, or switch parts off alone and in pairs, but those of {plan.grid!r} vary: "
            f"{', '.join(keys) or 'none'}. Grids of `product` or `pairwise` do (docs/grids.md)."
        )
    return _heat_map(table, "", "", selected("points", selection, width=26), signed=True)


def _interactions(done: pd.DataFrame, keys: list[str], selection: str) -> pd.DataFrame | None:
    if not all(pd.api.types.is_numeric_dtype(_known(done, key)) for key in keys):
        return None  # a part that is switched off has a number that is 0
    off = done[[f"{SETTING}{key}" for key in keys]].astype(float) == 0
    by_parts: dict[frozenset[str], list[float]] = {}
    for flags, value in zip(off.to_numpy(), 100 * done[selection], strict=True):
        parts = frozenset(key for key, flag in zip(keys, flags, strict=True) if flag)
        by_parts.setdefault(parts, []).append(value)
    mean = {parts: float(np.mean(values)) for parts, values in by_parts.items()}
    if frozenset() not in mean or not any(len(parts) == 2 for parts in mean):
        return None
    full, nan = mean[frozenset()], float("nan")

    def alone(key: str) -> float:
        return full - mean.get(frozenset([key]), nan)

    table = pd.DataFrame(nan, index=keys, columns=keys)
    for one in keys:
        table.loc[one, one] = alone(one)
        for other in keys:
            if one != other:
                both = full - mean.get(frozenset([one, other]), nan)
                table.loc[one, other] = alone(one) + alone(other) - both
    return table


def _heat_map(table: pd.DataFrame, across: str, down: str, unit: str, *, signed: bool) -> Figure:
    """Return ``table`` as coloured squares with their numbers."""
    values = table.to_numpy(dtype=float)
    bound = float(np.nanmax(np.abs(values))) or 1.0
    with styled():
        figure = new_figure(1.4 + 0.42 * len(table))
        axes = figure.subplots()
        limits = {"vmin": -bound, "vmax": bound, "cmap": "PuOr"} if signed else {"cmap": "cividis"}
        image = axes.imshow(values, aspect="auto", **limits)
        axes.grid(False)
        for (i, j), value in np.ndenumerate(values):
            if np.isfinite(value):
                red, green, blue, _ = image.cmap(image.norm(value))
                dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
                text = f"{value:+.1f}" if signed else f"{value:.1f}"
                axes.text(j, i, text, ha="center", va="center", color="white" if dark else "black", fontsize=8)
            else:
                axes.text(j, i, "--", ha="center", va="center", color="#555555", fontsize=8)
        tilt: dict[str, Any] = {"rotation": 20, "ha": "right", "rotation_mode": "anchor"} if signed else {}
        axes.set_xticks(range(table.shape[1]), [_value(name) for name in table.columns], **tilt)
        axes.set_yticks(range(table.shape[0]), [_value(name) for name in table.index])
        axes.set_xlabel(across)
        axes.set_ylabel(down)
        figure.colorbar(image, ax=axes, label=unit)
    return figure


def _value(name: Any) -> str:
    """Return a value of a field as a person writes it."""
    return f"{name:g}" if isinstance(name, float) else str(name)


def cost_front(
    frame: pd.DataFrame, *, plan: Plan, selection: str = "last", networks: Networks | None = None, cost: str = "hours"
) -> Figure:
    """Return the rows' mean accuracy against a ``cost`` of ``cost_table``, with the front that no row beats.

    The front is of the rows that a table ranks: those whose runs are all done, without students of real images beside
    data-free ones.

    Raises:
        ReportError: the cost of no finished row is known.
    """
    accuracy: Any = ablation_table(frame, plan=plan, selection=selection)
    table = cost_table(frame, plan=plan, networks=networks or {})
    ranked = pd.Series(ranked_accuracy(accuracy, frame)).notna()
    points = pd.DataFrame({"cost": table[cost], "accuracy": accuracy["accuracy"], "ranked": ranked}).dropna()
    points = points.sort_values(["cost", "accuracy"], ascending=[True, False])
    if points.empty:
        raise ReportError(f"A row must be done and its {cost} known, but none of {plan.grid!r} is.")
    rivals = points[points["ranked"]]
    front = rivals[rivals["accuracy"] > rivals["accuracy"].cummax().shift(fill_value=-1.0)]
    titles = {"hours": f"{table.attrs['unit']} hours a run", "parameters": "parameters (M)", "flops": "GFLOPs"}
    with styled():
        figure = new_figure()
        axes = figure.subplots()
        if len(front):
            label = f"among {ranked_words(frame)},\nnot beaten by a cheaper one"
            axes.step(front["cost"], front["accuracy"], where="post", color=COLOURS[0], label=label)
        for row, look in zip(plan.rows, point_looks(len(plan.rows)), strict=True):
            if row in points.index:
                done, planned = accuracy.at[row, "done"].split("/")
                label = plain(row if done == planned else f"{row} ({done}/{planned})")
                axes.plot(points.loc[[row], "cost"], points.loc[[row], "accuracy"], **look, label=label)
        axes.set_xlabel(titles[cost])
        axes.locator_params(axis="x", nbins=5)
        axes.set_ylabel(selected("accuracy (%), mean over seeds", selection))
        outer_legend(figure, axes)
    return figure
