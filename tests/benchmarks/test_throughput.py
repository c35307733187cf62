"""The benchmark of cells an hour runs, and counts the wait of a slot as it says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import benchmarks
from benchmarks.throughput import waits


def test_a_wait_is_from_one_cells_end_to_the_nexts_first_step_without_building(tmp_path):
    cells = [(0.5, 1.0, 9.0), (0.25, 9.5, 20.0), (0.5, 20.75, 30.0)]  # building, first step, end
    for name, marks in (("1", cells), ("2", cells[:1])):
        lines = [json.dumps(dict(zip(("building", "first_step", "end"), each, strict=True))) for each in marks]
        (tmp_path / f"marks-{name}.jsonl").write_text("\n".join(lines) + "\n")
    # 9.5 - 9.0 - 0.25 and 20.75 - 20.0 - 0.5. A process's first cell waits for what the process loads: not counted.
    assert waits(tmp_path) == [0.25, 0.25]
    assert not list(tmp_path.iterdir())  # the next round begins anew


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_both_sides_run_the_grid(tmp_path):
    # In a process of its own, which starts Ray with as many slots as it needs.
    command = [sys.executable, "-m", "benchmarks.throughput", "--seeds", "1", "--rounds", "1", "--slots", "1"]
    root = Path(benchmarks.__file__).parent.parent
    subprocess.run([*command, "--out", str(tmp_path / "x.json")], cwd=root, check=True)
    content = json.loads((tmp_path / "x.json").read_text())
    assert content["cells"] == 4
    assert {name: len(values) for name, values in content["seconds"].items()} == {
        "harness": 1,
        "Ray Tune's defaults": 1,
    }
    assert len(content["waits"]) == 3  # of four cells in one process
    ours, theirs = (values[0] for values in content["seconds"].values())
    assert content["ratios"] == [pytest.approx(theirs / ours)]
