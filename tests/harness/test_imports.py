"""Commands that look at a store do not import what takes seconds and they have no use for."""

import json
import shutil
import subprocess
import sys

import pytest

from small import sets

SLOW = (
    *(
        "torch",
        "torchvision",
        "torch._dynamo",
        "scipy.stats",
        "matplotlib",
        "sklearn",
        "pandas",
        "ray",
        "mlflow",
        "optuna",
    ),
)
SCRIPT = f"""
import json, sys
from harness.cli.main import app
try:
    app()
finally:
    print(json.dumps([name for name in {SLOW!r} if name in sys.modules]), file=sys.stderr)
"""


def imported(*arguments):
    """Return which of SLOW a command has imported by its end, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.fixture(scope="module")
def finished(teacher_store, tmp_path_factory):
    """A store with the one cell of a grid, done, and the arguments that name both."""
    from typer.testing import CliRunner

    from harness.cli.main import app

    folder = tmp_path_factory.mktemp("finished")
    store, grid = shutil.copytree(teacher_store, folder / "runs"), folder / "one.toml"
    grid.write_text('title = "One"\nreference = "a"\n[[row]]\nname = "a"\n')
    arguments = (str(grid), "--budget", "smoke", "--seeds", "0", "--store", str(store), *sets("schedule.epochs=1"))
    result = CliRunner().invoke(app, ["ablate", *arguments, "--executor", "local"])
    assert result.exit_code == 0, result.output
    return store, arguments


def test_help_and_status_import_none_of_them(finished):
    assert imported("--help") == set()
    assert imported("status", "--store", str(finished[0])) == set()


def test_a_plan_whose_cells_are_done_loads_neither_images_nor_teacher(finished):
    assert imported("plan", *finished[1]) == set()


def test_without_what_was_noted_a_plan_reads_both_and_builds_no_network(finished, tmp_path):
    store = shutil.copytree(finished[0], tmp_path / "runs")
    shutil.rmtree(store / "cache")
    arguments = [str(store) if argument == str(finished[0]) else argument for argument in finished[1]]
    # scikit-learn has the digits, and imports scipy.stats for them, and pandas where it is.
    assert imported("plan", *arguments) - {"pandas"} == {"torch", "sklearn", "scipy.stats"}


def test_a_plan_with_cells_to_do_builds_its_networks(finished):
    # What is not imported above is not absent altogether: torchvision has the networks' blocks.
    assert "torchvision" in imported("plan", *finished[1], "--set", "schedule.batch_size=7")


def test_a_table_draws_nothing(finished):
    assert not imported("report", *finished[1]) & {"torch", "torchvision", "matplotlib", "ray", "mlflow", "optuna"}
