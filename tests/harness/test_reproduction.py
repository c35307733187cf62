"""The commands under a page: of a stored plan they mean that plan again, or are not given."""

from pathlib import Path

import pytest

from harness.cli.options import request_of
from harness.cli.reproduction import stored_arguments
from harness.records import Plan, read_plans

ARCHIVES = Path(__file__).parents[2] / "docs" / "results"


def planned(grid="table3", *, budget="smoke", seeds="0,1", settings=(), **more):
    """Return the plan of a grid on digits, as far as a command's options go."""
    request = request_of(grid, "digits", budget, seeds, list(settings), match_budget="matched_passes" in more)
    context = {"dataset": "Digits", "budget": request.budget, "settings": dict(request.settings), **more}
    rows = tuple(request.rows)
    return Plan(request.key(None), request.grid.name, "T", rows, rows[0], request.seeds, (), context)


SMOKE = ["--budget", "smoke", "--seeds", "0,1", "--store", "s"]


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (planned(), SMOKE),
        (planned(seeds="0,1,2"), ["--budget", "smoke", "--store", "s"]),
        (planned(settings=["compute.channels_last=true"]), [*SMOKE, "--set", "compute.channels_last=true"]),
        (planned(settings=["student_loss.sfcl.weight=0.5"]), [*SMOKE, "--set", "student_loss.sfcl.weight=0.5"]),
        (planned("table1", matched_passes=[1]), [*SMOKE, "--match-budget"]),
    ],
)
def test_a_plan_gives_the_options_that_mean_it(plan, expected):
    assert stored_arguments(plan, Path("s")) == expected


def test_a_plan_that_its_options_do_not_mean_gives_none():
    plan = planned()
    other = [
        Plan(**{**vars(plan), "key": "of a teacher's checkpoint"}),
        Plan(**{**vars(plan), "context": {**plan.context, "dataset": "Birds of my own"}}),
        Plan(**{**vars(plan), "context": {}}),
        Plan(**{**vars(plan), "grid": "mine"}),
    ]
    assert [stored_arguments(each, Path("s")) for each in other] == [None] * 4


def test_the_archives_of_docs_results_name_the_options_of_their_pages(run, tmp_path):
    assert run("import-store", str(ARCHIVES / "birds/runs.tar.gz"), "--store", str(tmp_path / "s"))[0] == 0
    (plan,) = read_plans(tmp_path / "s")
    found = stored_arguments(plan, tmp_path / "s")
    assert found[:4] == ["--dataset", "cub200", "--budget", "small"]
    assert "data.classes=first:20" in found
