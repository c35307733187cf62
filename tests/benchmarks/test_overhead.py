"""The benchmark of what the harness adds to a cell runs, with few cells."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import benchmarks


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_harness_and_ray_tune_run_as_many_cells_as_asked(tmp_path):
    # In a process of its own, which starts Ray with as many slots as it needs.
    command = [sys.executable, "-m", "benchmarks.overhead", "--cells", "3", "--beside", "2", "--slots", "1"]
    root = Path(benchmarks.__file__).parent.parent
    subprocess.run([*command, "--out", str(tmp_path / "x.json")], cwd=root, check=True)
    content = json.loads((tmp_path / "x.json").read_text())
    assert [(row["name"], row["cells"]) for row in content["rows"]] == [("harness", 3), ("Ray Tune's defaults", 2)]
    assert all(row["seconds_per_cell"] == row["seconds"] / row["cells"] for row in content["rows"])
