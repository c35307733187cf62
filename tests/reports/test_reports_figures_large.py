"""Figures of many rows, seeds or parameters, and of other selections: what they say is there, and can be read."""

from itertools import combinations, pairwise
from math import radians, sin

import numpy as np
import pandas as pd
import pytest

from harness.records import Plan, PlannedCell
from reports.figures import (
    cost_front,
    interaction_map,
    order_comparison,
    parallel_coordinates,
    response_curve,
    row_plot,
    training_curves,
)

MHAD, SFCL, ORDERS = "student_loss.mhad.weight", "student_loss.sfcl.weight", "student_loss.mhad.orders"

pytestmark = pytest.mark.filterwarnings("error::UserWarning")  # matplotlib's, of a layout that does not fit


def make(settings, seeds=2):
    """Return a plan and its frame: ``settings`` gives each row's; a row costs less than the one before."""
    cells = tuple(PlannedCell(f"{row}/{seed}", row, seed) for row in settings for seed in range(seeds))
    context = {"teacher_accuracy": 0.8}
    plan = Plan("k", "g", "Title", tuple(settings), next(iter(settings)), tuple(range(seeds)), cells, context)
    lines = []
    for i, cell in enumerate(cells):
        about = {"row": cell.row, "seed": cell.seed, "cell": cell.id, "status": "done", "device": "cpu"}
        numbers = dict.fromkeys(("last", "final_mean", "best_on_test"), 0.2 + i / 1000)
        config = {f"config.{key}": value for key, value in settings[cell.row].items()}
        lines.append(about | numbers | {"cpu_seconds": 36.0 * (len(cells) - i)} | config)
    return plan, pd.DataFrame(lines)


def rows(count, seeds=2):
    return make({f"+ MHAD, row {i}": {MHAD: float(i)} for i in range(count)}, seeds)


def curves(count):
    plan, _ = rows(count)
    logs = {cell.id: [{"epoch": e, "test_accuracy": e / 4} for e in (1, 2, 3)] for cell in plan.cells}
    return training_curves(logs, plan=plan, teacher_share=0.5)


def costs(count):
    plan, frame = rows(count)
    return cost_front(frame, plan=plan)


def seeds(count):
    plan, frame = rows(3, seeds=count)
    return row_plot(frame, plan=plan)


def orders(count):
    plan, frame = make({mixture: {ORDERS: mixture, MHAD: 1.0} for mixture in ("1", "2")}, seeds=count)
    return order_comparison(frame, plan=plan)


def legends(figure):
    return [*figure.legends, *(axes.get_legend() for axes in figure.axes if axes.get_legend())]


@pytest.mark.parametrize("count", [11, 17, 26, 60])
@pytest.mark.parametrize(("draw", "others"), [(curves, 2), (costs, 1), (seeds, 0), (orders, 1)])
def test_every_name_of_a_long_legend_is_inside_the_figure_and_the_axes_stay_wide(draw, others, count):
    figure = draw(count)
    figure.draw_without_rendering()
    (legend,) = legends(figure)
    assert len(legend.get_texts()) == count + others
    whole = figure.bbox
    for text in legend.get_texts():
        box = text.get_window_extent()
        assert whole.x0 <= box.x0 < box.x1 <= whole.x1
        assert whole.y0 <= box.y0 < box.y1 <= whole.y1
        assert not box.overlaps(figure.axes[0].bbox)
    assert figure.axes[0].bbox.width > whole.width / 2


def test_a_short_legend_stays_beside_the_axes():
    figure = curves(11)
    assert not figure.legends
    assert figure.get_size_inches() == pytest.approx((6.5, 3.2))


def test_a_legend_of_long_names_goes_below():
    name = "generator.attention.weight = 0.5, student_loss.mhad.weight = {}"
    plan, frame = make({name.format(i): {MHAD: float(i)} for i in range(3)})
    figure = cost_front(frame, plan=plan)
    assert len(figure.legends) == 1
    figure.draw_without_rendering()
    assert figure.axes[0].bbox.width > 0.8 * figure.bbox.width


def looks_of(figure, *, skip=0):
    """Return colour, marker and face by name, of the points that have one, after ``skip`` names."""
    handles, names = figure.axes[0].get_legend_handles_labels()
    looks = [(each.get_color(), each.get_marker(), each.get_markerfacecolor()) for each in handles]
    return dict(list(zip(names, looks, strict=True))[skip:])


@pytest.mark.parametrize(("figure", "skip"), [(costs(26), 1), (seeds(26), 0)], ids=["costs", "seeds"])
def test_no_two_of_26_points_look_alike(figure, skip):
    looks = looks_of(figure, skip=skip)
    assert len(set(looks.values())) == len(looks) == 26


def test_a_row_has_the_colour_and_marker_of_its_curve_in_the_figure_of_cost():
    # The plan's first row is the dearest; 14 markers, of which the last seven are hollow where the curve is dashed.
    ours, theirs = looks_of(costs(14), skip=1), list(looks_of(curves(14)).values())[:14]
    assert list(ours) == [f"+ MHAD, row {i}" for i in range(14)]
    assert [look[:2] for look in ours.values()] == [look[:2] for look in theirs]
    assert [look[2] == "none" for look in ours.values()] == [False] * 7 + [True] * 7


def test_a_row_that_is_not_run_takes_its_look_with_it():
    plan, frame = rows(4)
    whole = looks_of(cost_front(frame, plan=plan))
    part = looks_of(cost_front(frame.assign(status=np.where(frame["row"] == plan.rows[1], "todo", "done")), plan=plan))
    assert part == {name: look for name, look in whole.items() if name != plan.rows[1]}


WEIGHTS = {f"{x} {y}": {MHAD: x, SFCL: y} for x in (0.0, 1.0) for y in (0.0, 1.0)}
OFF = {"full": (1, 1, 1), "a": (0, 1, 1), "b": (1, 0, 1), "c": (1, 1, 0), "ab": (0, 0, 1)}
PARTS = {row: dict(zip((MHAD, SFCL, "alpha"), map(float, on), strict=True)) for row, on in OFF.items()}


@pytest.mark.parametrize(
    ("draw", "settings", "unit"),
    [
        (response_curve, {f"{x}": {MHAD: x} for x in (1.0, 2.0)}, "accuracy (%)"),
        (order_comparison, {x: {ORDERS: x, MHAD: 1.0} for x in ("1", "1+2")}, "accuracy (%)"),
        (interaction_map, WEIGHTS, "accuracy (%)"),
        (interaction_map, PARTS, "points"),
        (cost_front, WEIGHTS, "accuracy (%), mean over seeds"),
    ],
    ids=["response", "orders", "product", "pairwise", "cost"],
)
def test_an_axis_of_accuracy_says_which_unless_it_is_the_last_epochs(draw, settings, unit):
    plan, frame = make(settings)
    for selection, words in {
        "last": "",
        "best_on_test": ": best epoch on the test split (oracle)",
        "final_mean": ": mean accuracy over the final epochs of each run",
    }.items():
        figure = draw(frame, plan=plan, selection=selection)
        label = figure.axes[-1].yaxis.label  # the last axes are a map's scale of colours
        assert label.get_text().replace("\n", " ") == unit + words
        figure.draw_without_rendering()
        box = label.get_window_extent()
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1


def assert_labels_apart(axes):
    """Hold that no two labels along the x axis touch, and that each is inside the figure."""
    axes.figure.draw_without_rendering()
    labels = axes.get_xticklabels()
    for label in labels:
        box = label.get_window_extent()
        assert axes.figure.bbox.x0 <= box.x0 < box.x1 <= axes.figure.bbox.x1
        assert axes.figure.bbox.y0 <= box.y0 < box.y1 <= axes.figure.bbox.y1
    angle = labels[0].get_rotation()
    for left, right in pairwise(labels):
        if angle:
            # Parallel lines of text, a step apart along the axis: the sine of the angle is what lies between them.
            step = right.get_transform().transform((right.get_position()[0], 0))[0]
            step -= left.get_transform().transform((left.get_position()[0], 0))[0]
            line = left.get_fontsize() / 72 * axes.figure.dpi
            assert "\n" not in left.get_text()
            assert step * sin(radians(angle)) > 1.2 * line
        else:
            assert left.get_window_extent().x1 < right.get_window_extent().x0


def trials(count):
    """Return trials of ``count`` parameters with long names, of which the first is one of a few words."""
    names = [f"generator_loss.{'batch_norm' if i % 2 else 'adversarial'}.weight_{i}" for i in range(count)]
    drawn = np.random.default_rng(0).random((9, count))
    table = pd.DataFrame(drawn, columns=names).assign(number=range(9), value=drawn[:, 0], state="COMPLETE")
    return names, table.assign(**{names[0]: ["1+2+3+4", "1+2+3", "1"] * 3})


@pytest.mark.parametrize(("count", "tilted"), [(1, False), (3, False), (4, False), (7, True), (11, True), (30, True)])
def test_the_names_and_values_of_many_parameters_can_be_read(count, tilted):
    names, table = trials(count)
    figure = parallel_coordinates(table, parameters=names, objective="validation accuracy")
    (axes,) = figure.axes
    assert_labels_apart(axes)
    assert (axes.get_xticklabels()[0].get_rotation() != 0) == tilted
    if not tilted:
        assert figure.get_size_inches() == pytest.approx((6.5, 3.4))
    boxes = [text.get_window_extent() for text in axes.texts]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert all(figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1 for box in boxes)


def mixtures(most):
    """Return all mixtures of orders up to ``most``, in the order of the figure."""
    return ["+".join(map(str, each)) for size in range(1, most + 1) for each in combinations(range(1, most + 1), size)]


UP_TO = ["+".join(map(str, range(1, most + 1))) for most in range(1, 8)]  # 1, 1+2, ... 1+2+3+4+5+6+7


@pytest.mark.parametrize(
    ("names", "tilted"),
    [(UP_TO[:4], False), (UP_TO, True), (mixtures(3), False), (mixtures(4), True)],
    ids=["4 nested", "7 nested", "7 of 3", "15 of 4"],
)
@pytest.mark.parametrize("seeds", [3, 15, 26])
def test_mixtures_of_orders_do_not_run_into_one_another(names, tilted, seeds):
    settings = {name: {ORDERS: name, MHAD: 1.0} for name in names} | {"off": {ORDERS: "1", MHAD: 0.0}}
    plan, frame = make(settings, seeds)
    figure = order_comparison(frame, plan=plan)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["none", *names]
    assert_labels_apart(axes)
    assert axes.bbox.height > 2.3 * figure.dpi
    (legend,) = legends(figure)
    assert figure.bbox.y0 <= legend.get_window_extent().y0 < legend.get_window_extent().y1 <= figure.bbox.y1
    assert (axes.get_xticklabels()[0].get_rotation() != 0) == tilted
