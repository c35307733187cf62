"""``dfkd search --ablate``: a search for every row of a grid, with what the row sets held fixed."""

import pytest

from harness.records import read_json
from outcome import refused
from search_spaces import load_space
from searching import BETA, GAMMA, ORDERS, WEIGHTS
from small import sets

LAMBDA = "generator.attention.weight"
GRID = f'[names]\n"{BETA}" = "MHAD"\n"{GAMMA}" = "SFCL"\n\n[[rows]]\nleave_one_out = ["{BETA}", "{GAMMA}"]\n'


@pytest.fixture
def files(tmp_path):
    """Write the space of two weights and the orders, and a grid without one of the losses at a time."""
    (tmp_path / "weights.toml").write_text(WEIGHTS)
    (tmp_path / "without.toml").write_text(GRID)
    return tmp_path / "weights.toml", tmp_path / "without.toml"


class TestWhatIsLeftToSearch:
    def test_a_fixed_parameter_is_gone_and_so_is_what_never_counts(self, files):
        space = load_space(str(files[0]))
        assert space.freeze({BETA: 0.0}).keys == (GAMMA,)
        left = space.freeze({BETA: 10.0})
        assert left.keys == (GAMMA, ORDERS)
        assert left.parameters[1].when == ()
        assert left.fits({GAMMA: 1.0, ORDERS: "1"})
        assert space.freeze({GAMMA: 0.0}).parameters == (space.parameters[0], space.parameters[2])
        assert space.freeze({LAMBDA: 0.0}) == space

    def test_what_hangs_on_something_that_never_counts_is_gone_too(self, tmp_path):
        when = '"student_loss.mhad.orders" = "1+2"'
        text = WEIGHTS + f'"student_loss.mhad.reduction" = {{ choices = [2, 4], when = {{ {when} }} }}\n'
        (tmp_path / "chain.toml").write_text(text)
        assert load_space(str(tmp_path / "chain.toml")).freeze({BETA: 0.0}).keys == (GAMMA,)


def command(files, store, *extra):
    space, grid = files
    common = ["--budget", "smoke", "--store", str(store), "--executor", "local", "--objectives", "agreement", *sets()]
    return ["search", str(space), "--ablate", str(grid), "--trials", "2", *common, *extra]


@pytest.mark.slow
def test_every_row_is_searched_and_confirmed_and_nothing_runs_twice(run, store, files, monkeypatch):
    import harness.cells

    real, ran = harness.cells.distill, []

    def counted(config, **kwargs):
        ran.append((config.seed, config.student_loss.mhad.weight, config.student_loss.sfcl.weight))
        return real(config, **kwargs)

    monkeypatch.setattr(harness.cells, "distill", counted)
    status, output, _ = run(*command(files, store))
    assert status == 0, output
    # Each row begins with its settings as they are, which are the plain leave-one-out's cells.
    assert ran[::2] == [(0, 100.0, 1.0), (0, 0.0, 1.0), (0, 100.0, 0.0)], ran
    assert {beta for _, beta, _ in ran[2:4]} == {0.0}
    assert {gamma for _, _, gamma in ran[4:6]} == {0.0}
    assert "from best 'full'" in output
    again = len(ran)
    status, output, _ = run(*command(files, store, "--then-confirm", "1", "--seeds", "5"))
    assert status == 0, output
    assert {seed for seed, _, _ in ran[again:]} == {5}
    assert "from re-tuned 'full'" in output
    assert "chose nothing" in output
    again = len(ran)
    assert run(*command(files, store, "--then-confirm", "1", "--seeds", "5"))[0] == 0
    assert len(ran) == again
    grid = next((store / "studies").glob("weights-without-*/retuned.toml")).read_text()
    assert '"w/o SFCL, re-tuned"' in grid
    plans = [read_json(path) for path in (store / "plans").glob("*.json")]
    assert len([plan for plan in plans if plan["grid"] == "search-weights"]) == 3


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--patience", "2", "--noise", "0.1"], ["must be alike", "--patience 2"]),
        (["--warm-start-mlflow", "sqlite:///x.db"], ["must be alike", "--warm-start-mlflow"]),
        (["--then-confirm", "2", "--seeds", "5"], ["`--then-confirm 1`"]),
        (["--objectives", "agreement,parameters"], ["one objective", "agreement,parameters"]),
    ],
)
def test_searches_that_would_not_compare_are_refused(run, store, files, extra, words):
    refused(run(*command(files, store, *extra)), *words)
    assert not (store / "cells").exists()


def test_a_row_that_leaves_nothing_to_search_is_refused(run, store, files):
    files[0].write_text(f'[parameters]\n"{BETA}" = {{ low = 0.0, high = 100.0 }}\n')
    refused(run(*command(files, store)), "leave something to search", "'w/o MHAD' fixes all", "weights.toml")
    assert not (store / "studies").exists()


def test_a_space_and_a_grid_that_contradict_each_other_are_refused(run, store, files):
    space, grid = files
    space.write_text(f'[base]\n"schedule.epochs" = 2\n{WEIGHTS}')
    grid.write_text(f'[base]\n"schedule.epochs" = 3\n\n{GRID}')
    refused(run(*command(files, store)), "must agree", "`schedule.epochs` is 2", "and 3")
