"""What the figures show: read back from the lines that were drawn. How they look, somebody has looked at."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from harness.records import Plan, PlannedCell
from reports import ReportError
from reports.figures import (
    cost_front,
    image_rows,
    importance_table,
    importances,
    interaction_map,
    objective_front,
    order_comparison,
    parallel_coordinates,
    response_curve,
    row_plot,
    save,
    search_history,
    tiles,
    to_bytes,
)

MHAD, SFCL, LAMBDA = "student_loss.mhad.weight", "student_loss.sfcl.weight", "generator.attention.weight"


def make(rows, seeds=(0, 1, 2)):
    """Return a plan and its frame: ``rows`` gives each row's settings and accuracies in percent."""
    cells = tuple(PlannedCell(f"{row}/{seed}", row, seed) for row in rows for seed in seeds)
    plan = Plan("k", "g", "Title with $", tuple(rows), next(iter(rows)), tuple(seeds), cells, {})
    lines = []
    for cell in cells:
        settings, values = rows[cell.row]
        value = values[seeds.index(cell.seed)]
        about = {"row": cell.row, "seed": cell.seed, "cell": cell.id, "status": "todo" if value is None else "done"}
        config = {} if value is None else {f"config.{key}": each for key, each in settings.items()}
        numbers = {"last": np.nan if value is None else value / 100, "cpu_seconds": 36 * len(cell.row), "device": "cpu"}
        lines.append(about | numbers | config)
    return plan, pd.DataFrame(lines)


def test_every_seed_of_every_row_is_drawn_and_a_missing_row_says_so():
    plan, frame = make({"a": ({}, [10, 20, 30]), "b": ({}, [None] * 3)})
    (axes,) = row_plot(frame, plan=plan).axes
    assert [text.get_text() for text in axes.texts] == ["not run"]
    assert [line.get_xdata()[0] for line in axes.lines[-3:]] == pytest.approx([10, 20, 30])


def test_a_response_curve_finds_the_field_and_has_intervals_from_three_seeds():
    plan, frame = make({f"beta = {x}": ({MHAD: float(x)}, [x, x + 1, x + 2]) for x in (0, 1, 10, 100)})
    (axes,) = response_curve(frame, plan=plan).axes
    assert axes.get_xlabel() == MHAD
    mean = axes.lines[-1]
    assert list(mean.get_xdata()) == [0, 1, 10, 100]
    assert list(mean.get_ydata()) == pytest.approx([1, 2, 11, 101])
    assert axes.get_xscale() == "symlog"  # 0 and two decades
    assert len(axes.lines) == 4 * 2 + 1
    plan, frame = make({"a": ({MHAD: 1.0, SFCL: 2.0}, [1, 2, 3]), "b": ({MHAD: 2.0, SFCL: 3.0}, [1, 2, 3])})
    with pytest.raises(ReportError, match=f"vary: {MHAD}, {SFCL}. Name one with `--field`"):
        response_curve(frame, plan=plan)


def test_a_heat_map_of_a_product():
    rows = {f"{b} {g}": ({MHAD: b, SFCL: g}, [10 * b + g] * 3) for b in (1.0, 2.0) for g in (0.0, 8.0)}
    plan, frame = make(rows)
    axes = interaction_map(frame, plan=plan).axes[0]
    assert [text.get_text() for text in axes.texts] == ["10.0", "18.0", "20.0", "28.0"]
    assert [label.get_text() for label in (*axes.get_yticklabels(), *axes.get_xticklabels())] == ["1", "2", "0", "8"]


def test_interactions_of_pairs_by_hand():
    on = {MHAD: 1.0, SFCL: 1.0, LAMBDA: 1.0}
    rows = {"full": (on, [50] * 3)}
    for name, value in {"M": 30, "S": 45, "L": 48, "MS": 28, "ML": 28}.items():
        off = {key: 0.0 for key in on if {MHAD: "M", SFCL: "S", LAMBDA: "L"}[key] in name}
        rows[f"w/o {name}"] = (on | off, [value] * 3)
    plan, frame = make(rows)
    axes = interaction_map(frame, plan=plan).axes[0]
    # Alone: 20, 5, 2. M with S: 50 - 30 - 45 + 28 = 3; M with L: 50 - 30 - 48 + 28 = 0; S with L was not run.
    shown = [text.get_text() for text in axes.texts]
    assert shown == ["+20.0", "+3.0", "+0.0", "+3.0", "+5.0", "--", "+0.0", "--", "+2.0"]
    # Rows that vary a name switch nothing off.
    named = {
        name: ({MHAD: x, SFCL: y, "student.architecture": name}, [1, 2, 3])
        for name, x, y in (("a", 0.0, 1.0), ("b", 1.0, 0.0))
    }
    plan, frame = make(named)
    with pytest.raises(ReportError, match=r"student\.architecture. Grids of"):
        interaction_map(frame, plan=plan)
    plan, frame = make({"a": ({MHAD: 1.0}, [1, 2, 3]), "b": ({MHAD: 0.0}, [1, 2, 3])})
    with pytest.raises(ReportError, match=f"vary: {MHAD}. Grids of `product` or `pairwise`"):
        interaction_map(frame, plan=plan)
    # Of runs that have no such number nothing is drawn, nor of interactions without their parts alone.
    plan, frame = make({f"{b} {g}": ({MHAD: b, SFCL: g}, [1] * 3) for b in (1.0, 2.0) for g in (0.0, 8.0)})
    for draw in (interaction_map, response_curve, order_comparison):
        with pytest.raises(ReportError, match=r"with mean accuracy over the final epochs .* none of 'g' is"):
            draw(frame.assign(final_mean=np.nan), plan=plan, selection="final_mean")
    plan, frame = make({"full": rows["full"], "w/o MS": rows["w/o MS"], "w/o ML": rows["w/o ML"]})
    with pytest.raises(ReportError, match=f"vary: {MHAD}, {SFCL}, {LAMBDA}. Grids of"):
        interaction_map(frame, plan=plan)


def test_the_front_leaves_out_what_a_cheaper_row_beats():
    # Hours grow with the length of the name.
    plan, frame = make({"a": ({}, [10] * 3), "bb": ({}, [30] * 3), "ccc": ({}, [20] * 3), "dddd": ({}, [40] * 3)})
    (axes,) = cost_front(frame, plan=plan).axes
    assert axes.lines[0].get_ydata().tolist() == pytest.approx([10, 30, 40])
    with pytest.raises(ReportError, match="parameters known"):
        cost_front(frame, plan=plan, cost="parameters")


def test_the_front_is_of_the_rows_that_a_table_ranks():
    data_free, real = {"method": "dfkd_fgvc"}, {"method": "scratch"}
    rows = {"a": (real, [90] * 3), "bb": (data_free, [80, 80, None]), "ccc": (data_free, [10] * 3)}
    plan, frame = make(rows | {"dddd": (data_free, [20] * 3)})
    front, *points = cost_front(frame, plan=plan).axes[0].lines
    assert front.get_ydata().tolist() == pytest.approx([10, 20])
    assert front.get_label() == "among complete data-free rows,\nnot beaten by a cheaper one"
    assert [point.get_label() for point in points] == ["a", "bb (2/3)", "ccc", "dddd"]
    plan, frame = make({"a": (data_free, [1, None, None])})
    assert [line.get_label() for line in cost_front(frame, plan=plan).axes[0].lines] == ["a (1/3)"]


TRIALS = pd.DataFrame(
    {
        "number": [0, 1, 2, 3],
        "state": ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE"],
        "value": [0.5, 0.25, np.nan, 0.75],
        "value_2": [3.0, 5.0, np.nan, 1.0],
        "beta": [1.0, 2.0, 3.0, 4.0],
        "orders": ["1", None, "1", "1+2"],
    }
)


def test_search_history_has_the_best_so_far():
    (axes,) = search_history(TRIALS, objective="validation accuracy").axes
    assert axes.lines[1].get_ydata().tolist() == [0.5, 0.5, 0.75]
    assert axes.lines[2].get_xdata().tolist() == [2]
    with pytest.raises(ReportError, match="none of this one has a value"):
        search_history(TRIALS[2:3], objective="x")


def test_parallel_coordinates_have_a_gap_where_a_parameter_is_missing():
    (axes,) = parallel_coordinates(TRIALS, parameters=["beta", "orders"], objective="accuracy").axes
    # From worst to best: trial 1 (beta 2 of 1 to 4, no orders), 0, 3.
    assert axes.lines[0].get_ydata() == pytest.approx([1 / 3, np.nan, 0.0], nan_ok=True)
    assert axes.lines[2].get_ydata() == pytest.approx([1.0, 1.0, 1.0])


def test_importances_are_bars_with_the_middle_of_the_resampled_shares():
    # The 2.5 % and 97.5 % quantiles of 0, 0.01, ..., 1.
    drawn = [i / 100 for i in range(101)]
    table = importance_table({"gamma": 0.3, "beta": 0.7}, {"beta": drawn, "gamma": drawn})
    assert table.to_numpy().tolist() == [
        ["beta", 0.7, pytest.approx(0.025), pytest.approx(0.975)],
        ["gamma", 0.3, pytest.approx(0.025), pytest.approx(0.975)],
    ]
    figure = importances(table, objective="accuracy", notes=["PED-ANOVA", "12 trials, seed 0"])
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["gamma", "beta"]
    assert [bar.get_width() for bar in axes.patches] == [0.3, 0.7]
    assert [line.tolist() for line in axes.collections[0].get_segments()] == [
        [pytest.approx([0.025, y]), pytest.approx([0.975, y])] for y in (0, 1)
    ]
    assert axes.get_xlabel() == "share of importance for accuracy"
    assert figure.get_supxlabel() == "PED-ANOVA\n12 trials, seed 0"


def test_the_front_of_two_objectives():
    (axes,) = objective_front(TRIALS, objectives=("accuracy", "images per second")).axes
    assert axes.lines[1].get_ydata().tolist() == [0.25, 0.5, 0.75]


def test_of_an_objective_that_is_minimised_less_is_better():
    # From the fewest: (1, 0.75) is beaten by none; (3, 0.5) and (5, 0.25) have more of it and reach less.
    (axes,) = objective_front(TRIALS, objectives=("accuracy", "parameters"), minimised=True).axes
    assert list(zip(*axes.lines[1].get_data(), strict=True)) == [(1.0, 0.75)]


def test_tiles_are_cut_out_of_a_sheet_line_by_line():
    # Two by three squares of 4 pixels with 2 around each, as torchvision's make_grid sets them.
    sheet = np.zeros((2 + 2 * 6, 2 + 3 * 6, 3), np.uint8)
    for i in range(6):
        top, left = 2 + i // 3 * 6, 2 + i % 3 * 6
        sheet[top : top + 4, left : left + 4] = i + 1
    cut = tiles(sheet, size=4)
    assert cut.shape == (6, 4, 4, 3)
    assert [(picture.min(), picture.max()) for picture in cut] == [(i, i) for i in range(1, 7)]
    assert len(image_rows({"real": cut, "ours": cut[:2]}).axes) == 16
    with pytest.raises(ReportError, match="no run has any"):
        image_rows({})


def test_equal_figures_are_equal_files(tmp_path):
    plan, frame = make({"a_$x$ <&>": ({}, [10, 20, 30])})
    assert to_bytes(row_plot(frame, plan=plan), "svg") == to_bytes(row_plot(frame, plan=plan), "svg")
    png, svg = save(row_plot(frame, plan=plan), tmp_path / "deep" / "rows")
    assert Image.open(png).size[0] > 1000
    assert svg.read_text().startswith("<?xml")
    table = pd.DataFrame({"row": ["a"], "minutes": [1 / 3]})
    assert save(row_plot(frame, plan=plan), tmp_path / "rows", table)[2].read_text() == "row,minutes\na,0.333333\n"


ORDERS = "student_loss.mhad.orders"


def test_orders_stand_beside_one_another_from_none_to_many():
    rows = {
        "R = 3": ({ORDERS: "1+2+3", MHAD: 100.0}, [30, 31, 35]),
        "off": ({ORDERS: "1+2+3", MHAD: 0.0}, [10, 11, None]),
        "R = 1": ({ORDERS: "1", MHAD: 100.0}, [20, 22, 24]),
        "2 alone": ({ORDERS: "2", MHAD: 100.0}, [25, 26, 27]),
    }
    plan, frame = make(rows)
    (axes,) = order_comparison(frame, plan=plan).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["none", "1", "2", "1+2+3"]
    seeds = [list(line.get_ydata()) for line in axes.lines[:3]]
    assert seeds[0] == pytest.approx([10, 20, 25, 30])
    assert seeds[2] == pytest.approx([np.nan, 24, 27, 35], nan_ok=True)
    means = [line.get_ydata()[0] for line in axes.lines[3:] if len(line.get_ydata()) == 1]
    assert means == pytest.approx([10.5, 22, 26, 32])  # (30 + 31 + 35) / 3
    # Bars where there are three seeds: not without L_MHAD.
    assert [list(line.get_xdata()) for line in axes.lines[3:] if len(line.get_ydata()) == 2] == [[1, 1], [2, 2], [3, 3]]


@pytest.mark.parametrize(
    "rows",
    [
        {"a": ({ORDERS: "1", MHAD: 1.0}, [1, 2, 3]), "b": ({ORDERS: "1", MHAD: 0.0}, [1, 2, 3])},
        {"a": ({ORDERS: "1", MHAD: 1.0}, [1, 2, 3]), "b": ({ORDERS: "2", MHAD: 2.0}, [1, 2, 3])},
        {"a": ({ORDERS: "1", MHAD: 1.0, SFCL: 0.0}, [1, 2, 3]), "b": ({ORDERS: "2", MHAD: 1.0, SFCL: 1.0}, [1, 2, 3])},
        {"a": ({}, [1, 2, 3])},
    ],
    ids=["the same orders", "two weights", "another field", "no field"],
)
def test_a_comparison_of_orders_needs_rows_that_vary_them_alone(rows):
    plan, frame = make(rows)
    with pytest.raises(ReportError, match=f"must vary {ORDERS} and nothing else.*table5"):
        order_comparison(frame, plan=plan)


def test_a_response_curve_counts_a_shared_cell_once_and_does_not_pool_what_differs():
    plan, frame = make(
        {"a": ({MHAD: 1.0}, [1, 2]), "b": ({MHAD: 1.0}, [1, 2]), "c": ({MHAD: 2.0}, [3, 4])}, seeds=(0, 1)
    )
    frame.loc[frame["row"] == "b", "cell"] = ["a/0", "a/1"]
    (axes,) = response_curve(frame, plan=plan).axes
    # Two seeds at each of two values: points and no interval, which four values would have got.
    assert [len(line.get_xdata()) for line in axes.lines] == [2, 2, 2]
    rows = {f"{x} {y}": ({MHAD: x, SFCL: y}, [1, 2, 3]) for x in (1.0, 2.0) for y in (0.0, 1.0)}
    plan, frame = make(rows)
    with pytest.raises(ReportError, match=f"one value of {MHAD} must be alike .* differ in {SFCL} too"):
        response_curve(frame, plan=plan, field=MHAD)
    plan, frame = make({name: ({"student.architecture": name}, [1, 2, 3]) for name in ("resnet8", "resnet14")})
    with pytest.raises(ReportError, match=r"numeric field, but student\.architecture of 'g' is: resnet8, resnet14\."):
        response_curve(frame, plan=plan, field="student.architecture")
    # Rows that vary two fields together have one run a value and seed.
    plan, frame = make({"a": ({MHAD: 1.0, SFCL: 0.0}, [1, 2, 3]), "b": ({MHAD: 2.0, SFCL: 1.0}, [1, 2, 3])})
    assert response_curve(frame, plan=plan, field=MHAD).axes[0].get_xlabel() == MHAD
