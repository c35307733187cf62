"""A line per run: accuracy, cost, machine."""

import pytest

from harness.records import Plan, PlannedCell, write_json
from reports import render_runs, runs_table

PLAN = Plan(
    key="k",
    grid="g",
    title="T",
    rows=("a", "twin"),
    reference="a",
    seeds=(1, 0),
    cells=(
        PlannedCell("c1", "a", 1),
        PlannedCell("c0", "a", 0),
        PlannedCell("c1", "twin", 1),
        PlannedCell("d0", "twin", 0),
    ),
    context={},
)


def result(threads=1, **extra):
    machine = {"processor": "P", "device": "cpu", "threads": threads, "python": "3", "torch": "2", "torchvision": "0"}
    final = {"final_mean": 0.53125, "final_sd": 0.0125, "final_epochs": 5}
    numbers = {"last": 0.5, "best_on_test": 0.625, **final, "seconds": 90.0, "cpu_seconds": 120.0}
    return {**numbers, "environment": machine, **extra}


@pytest.fixture
def store(tmp_path):
    write_json(tmp_path / "cells" / "c1" / "result.json", result())
    write_json(tmp_path / "cells" / "c0" / "result.json", result(threads=2))
    write_json(tmp_path / "cells" / "d0" / "failure.json", {"error": "out of memory", "traceback": ""})
    return tmp_path


def test_finished_runs_stand_in_the_plans_order_with_their_cost(store):
    runs = runs_table(store, PLAN)
    assert list(zip(runs["row"], runs["seed"], runs["cell"], strict=True)) == [
        ("a", 1, "c1"),
        ("a", 0, "c0"),
        ("twin", 1, "c1"),
    ]
    assert runs[["last", "best_on_test", "cpu_minutes", "minutes"]].values.tolist() == [[50.0, 62.5, 2.0, 1.5]] * 3
    assert runs[["final_mean", "final_sd", "final_epochs"]].values.tolist() == [[53.125, 1.25, 5.0]] * 3


def test_a_shared_cell_costs_once_and_every_machine_is_named(store):
    text = render_runs(runs_table(store, PLAN), planned=4)
    assert "3 of 4 planned runs done, 2 distinct cells: 0.07 CPU hours" in text  # 2 x 2 minutes
    assert "1 cells on: processor P, device cpu, threads 1, python 3, torch 2, torchvision 0." in text
    assert "1 cells on: processor P, device cpu, threads 2" in text
    line = next(line for line in text.splitlines() if "twin" in line)
    assert [part.strip() for part in line.strip("|").split("|")] == [
        "twin",
        "1",
        "50.00",
        "53.12 \u00b1 1.25",
        "62.50",
        "2.0",
        "1.5",
        "c1",
        "unknown",
    ]


@pytest.mark.parametrize(
    ("of_c0", "heading", "entry"),
    [
        ({}, "Final 5 epochs, mean \u00b1 sd (%)", "53.12 \u00b1 1.25"),
        ({"final_epochs": 10}, "Final 5 or 10 epochs, mean \u00b1 sd (%)", "53.12 \u00b1 1.25"),
        # A single epoch has no sd with n - 1; its result says 0.
        ({"final_epochs": 1, "final_sd": 0.0}, "Final 1 or 5 epochs, mean \u00b1 sd (%)", "53.12"),
    ],
)
def test_the_final_epochs_have_a_mean_an_sd_and_their_number(store, of_c0, heading, entry):
    write_json(store / "cells" / "c0" / "result.json", result(**of_c0))
    lines = render_runs(runs_table(store, PLAN), planned=4).splitlines()
    assert [part.strip() for part in lines[0].strip("|").split("|")][2:5] == [
        "Last epoch (%)",
        heading,
        "Best epoch on test, oracle (%)",
    ]
    assert lines[3].split("|")[4].strip() == entry  # c0 is the second run


def test_the_engine_is_named_where_it_is_known(store):
    of_engine = result()
    of_engine["environment"]["engine"] = "eager+compile"
    write_json(store / "cells" / "c0" / "result.json", of_engine)
    text = render_runs(runs_table(store, PLAN), planned=4)
    assert "1 cells on: processor P, device cpu, threads 1, python 3, torch 2, torchvision 0.\n" in text
    assert (
        "1 cells on: processor P, device cpu, threads 1, python 3, torch 2, torchvision 0, engine eager+compile."
        in text
    )


def test_the_code_of_a_run_is_named_and_marked_if_stale(store):
    write_json(store / "cells" / "c0" / "result.json", result(trainer=["0123456789abcdef", "fedcba9876543210"]))
    text = render_runs(runs_table(store, PLAN), planned=4, stale=["c0"])
    last = [line.strip("|").split("|")[-1].strip() for line in text.splitlines()[:5]]
    assert (last[0], last[2:]) == ("Trainer", ["unknown", "01234567+fedcba98 \u2020", "unknown"])
    assert "\u2020 1 cells are stale" in text
    assert "\u2020" not in render_runs(runs_table(store, PLAN), planned=4)


def test_nothing_done_is_an_empty_table(tmp_path):
    text = render_runs(runs_table(tmp_path, PLAN), planned=4)
    assert "0 of 4 planned runs done, 0 distinct cells: 0.00 CPU hours" in text
