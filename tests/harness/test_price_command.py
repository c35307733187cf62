"""``dfkd plan`` says what the rest of a grid will cost, and ``dfkd ablate --budget-hours`` runs what fits."""

import json

import pytest

import harness.probe
from harness.rates import Rates
from harness.records import read_log
from harness.store import Store
from outcome import refused
from small import sets


def options(store, *extra):
    return ["--budget", "smoke", "--store", str(store), *sets(), *extra]


def price(run, store, *extra):
    status, output, _ = run("plan", "table3", *options(store, "--json", *extra))
    assert status == 0
    return json.loads(output)["price"]


def test_from_nothing_to_a_probe_to_finished_cells(run, store):
    before = sorted(store.rglob("*"))
    status, output, _ = run("plan", "table3", *options(store, "--seeds", "0,1"))
    assert status == 0
    assert "8 cells requested, 8 of them distinct; of those to do, 0 are under way and 8 are new." in output
    assert "no estimate: no like cell has run here; `--probe` measures." in output
    found = price(run, store)
    assert (found["core_hours"], found["wall_seconds"], len(found["without_estimate"])) == (None, None, 12)

    found = price(run, store, "--probe", "--slots", "3")
    assert found["core_hours"] > 0
    assert found["wall_seconds"] > 0
    assert (found["slots"], found["estimated_from"]["probed_shapes"]) == (3, 4)  # a shape a row
    assert sorted(store.rglob("*")) == before  # a plan writes nothing

    assert run("ablate", "table3", *options(store, "--seeds", "0", "--executor", "local"))[0] == 0
    found = price(run, store)
    logs = [read_log(path) for path in Store(store).root.glob("cells/*")]
    assert found["estimated_from"]["finished_like_cells"] == 4
    assert (found["requested"], found["distinct"], found["new"], found["under_way"]) == (12, 12, 8, 0)
    # Two seeds of four rows, each about what its like cell took.
    spent = sum(record["cpu_seconds"] for log in logs for record in log) / 3600
    assert 0.3 < found["core_hours"] / (2 * spent) < 3  # a busy machine may slow either; test_price.py has it by hand
    output = run("plan", "table3", *options(store, "--slots", "1"))[1]
    assert "core-hours of training" in output
    assert "1 cell at a time (1 core each); estimated from 4 finished cells like these." in output
    # With two threads it is another machine.
    assert price(run, store, "--cpus-per-trial", "2")["core_hours"] is None


@pytest.mark.slow
def test_a_budget_runs_the_first_seed_first_and_says_what_it_left_out(run, store, monkeypatch):
    # 2 rounds of 2 + 2 steps of 450 s: an hour a cell.
    monkeypatch.setattr(
        harness.probe, "probe", lambda config, **where: Rates({"generator": 450.0, "student": 450.0}, cores=1.0)
    )
    command = ["ablate", "table3", *options(store, "--seeds", "1,0", "--executor", "local")]
    status, output, _ = run(*command, "--budget-hours", "5.5")
    assert status == 0
    assert "Budget of 5.5 core-hours: 5 of the 8 cells to do fit by their estimates, 5.00 core-hours" in output
    assert "5 of 8 cells done" in output
    assert "Used 0.00" in output
    assert "Left out by `--budget-hours 5.5`: 3 of 8 cells, 3.00 core-hours: + SFCL, seed 0, + MHAD, seed 0, " in output
    assert "The same command without `--budget-hours` goes on." in output
    done = [
        (cell["row"], cell["seed"])
        for cell in json.loads(run("plan", "table3", *options(store, "--seeds", "1,0", "--json"))[1])["planned"]
        if cell["status"] == "done"
    ]
    assert done == [("Baseline", 1), ("Baseline", 0), ("+ SFCL", 1), ("+ MHAD", 1), ("+ MHAD + SFCL", 1)]
    status, output, _ = run(*command)
    assert (status, "8 of 8 cells done" in output) == (0, True)


@pytest.mark.parametrize("hours", ["0", "-1", "nan", "inf"])
def test_a_budget_must_be_a_number_of_hours(run, store, hours):
    refused(run("ablate", "table3", *options(store), "--budget-hours", hours), "--budget-hours", "> 0", hours)
    assert not (store / "cells").exists()


def test_a_probe_needs_the_teacher(run, tmp_path):
    refused(run("plan", "table3", *options(tmp_path / "none", "--probe")), "dfkd teacher digits")
