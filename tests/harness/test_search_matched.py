"""Searches whose trials all cost the same: ``dfkd search --match-budget``."""

import json
from dataclasses import replace

import pytest

from dfkd.config import RunConfig
from dfkd.errors import ConfigError
from dfkd.overrides import with_overrides
from harness.cells import cell_config
from harness.passes import passes_of
from harness.search.points import Points
from harness.store import Store
from outcome import refused
from search_spaces import load_space
from small import sets

STEPS = "schedule.generator_steps"
SPACE = f"""
[parameters]
"{STEPS}" = {{ low = 1, high = 30 }}
"student_loss.sfcl.weight" = {{ choices = [0.0, 8.0] }}
"""
# A round of 8 generator and 12 student steps costs 8 * 4 + 12 * 3 = 68 passes an image; 30 rounds of 4 images 8,160.
BASE = {"iterations_per_epoch": 30, "generator_steps": 8, "student_steps": 12, "batch_size": 4, "epochs": 1}


@pytest.fixture
def space(tmp_path):
    path = tmp_path / "rhythm.toml"
    path.write_text(SPACE)
    return path


@pytest.fixture
def points(space):
    base = with_overrides(RunConfig(), {f"schedule.{key}": value for key, value in BASE.items()})
    return Points(load_space(str(space)), base, "t", "f", None, 10, passes=passes_of(base))


def test_a_trial_has_as_many_rounds_as_cost_the_same(points):
    assert points.passes == 8160
    config = points.cell({STEPS: 16, "student_loss.sfcl.weight": 8.0}).config
    # 16 * 4 + 12 * 3 = 100 passes an image; 8,160 / 4 / 100 = 20.4 rounds
    assert (config.schedule.generator_steps, config.schedule.iterations_per_epoch) == (16, 20)
    assert points.cell({STEPS: 8, "student_loss.sfcl.weight": 8.0}).config == points.base


def test_a_cell_is_found_at_the_point_that_made_it(points):
    point = {STEPS: 16, "student_loss.sfcl.weight": 0.0}
    made = points.cell(point).config
    assert points.point_of(made) == point
    dearer = with_overrides(made, {"schedule.iterations_per_epoch": 21})
    assert points.point_of(dearer) is None
    assert replace(points, passes=None).point_of(made) is None


def test_a_round_that_is_too_dear_is_no_point(points):
    short = replace(points, passes=300)  # 75 passes an image; with 16 generator steps a round has 100
    with pytest.raises(ConfigError, match=r"`schedule.generator_steps=16` it costs 1.33 of one. Ask for fewer"):
        short.cell({STEPS: 16, "student_loss.sfcl.weight": 8.0})


def test_a_search_of_the_rhythm_and_its_confirmation(run, teacher_store, store, space):
    # As it is 12 rounds of 2 * 4 + 2 * 3 = 14 passes an image; with 4 generator steps a round is 22.
    space.write_text(SPACE.replace("high = 30", "high = 4"))
    where = ["--budget", "smoke", "--store", str(store), *sets("schedule.iterations_per_epoch=12")]
    command = ["search", str(space), "--trials", "3", "--objectives", "agreement", "--match-budget", *where]
    status, output, _ = run(*command, "--executor", "local", "--then-confirm", "1", "--seeds", "10")
    assert status == 0, output
    opened = Store(store)
    costs = [
        passes_of(with_overrides(RunConfig(), cell_config(opened, path.name)["config"]))
        for path in (store / "cells").iterdir()
    ]
    assert len(costs) >= 4
    # 2 epochs of 12 * 14 passes an image, 8 images a batch; the nearest number of rounds is half of one off at most
    assert all(abs(cost - 2 * 12 * 14 * 8) <= 2 * 11 * 8 for cost in costs)
    assert f"Every trial costs {2 * 12 * 14 * 8:,} passes" in output
    assert "--set schedule.iterations_per_epoch=" in output[output.index("Best: ") :]
    (grid,) = (store / "studies").glob("rhythm-*/best.toml")
    plan = json.loads(run("plan", str(grid), *where, "--seeds", "10", "--match-budget", "--json")[1])
    assert {cell["status"] for cell in plan["planned"]} == {"done"}


def test_rows_of_an_ablation_are_not_brought_to_their_own_costs(run, tmp_path):
    options = ["--ablate", "losses_leave_one_out", "--match-budget", "--store", str(tmp_path / "runs")]
    refused(
        run("search", "loss_weights", "--trials", "1", *options), "`--match-budget` would bring each", "Leave it out"
    )
