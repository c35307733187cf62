"""The benchmark of a large store runs, on a small one."""

import cProfile
import json
import pstats
import shutil
import sys

import numpy as np
import pytest

from benchmarks import store
from harness.store import Store
from small import sets


def files_read(run, *arguments):
    """Return how many JSON files a command reads of a store."""
    profile = cProfile.Profile()
    profile.enable()
    status, _, stderr = run(*arguments)
    profile.disable()
    assert status == 0, stderr
    return sum(
        calls
        for (path, _, name), (calls, *_) in pstats.Stats(profile).stats.items()
        if name == "read_json" and path.endswith("records.py")
    )


@pytest.mark.parametrize("command", ["plan", "status", "report"])
def test_a_finished_cells_files_are_read_once(run, teacher_store, tmp_path, command):
    counted = []
    for rows in (1, 41):
        grid, root = tmp_path / f"{rows}.toml", tmp_path / f"{rows}"
        shutil.copytree(teacher_store, root)
        store.write_grid(grid, rows)
        cells = store.fill(Store(root), grid, epochs=1, about={})
        seeds = ["--seeds", ",".join(map(str, range(store.SEEDS)))]
        of_grid = [str(grid), "--budget", "smoke", *seeds, *sets()]
        read = files_read(run, command, *([] if command == "status" else of_grid), "--store", str(root))
        counted.append((cells, read))
    (few, least), (many, most) = counted
    assert most - least == 2 * (many - few)  # the configuration and the result


def test_a_commands_peak_is_its_own_and_not_that_of_whoever_started_it():
    large = np.ones(2**27)  # 1 GiB of doubles here; printing the help takes far less
    assert store.measure(["--help"])["gib"] < 0.5 < large.nbytes / 2**30


@pytest.mark.slow
def test_each_command_is_measured(monkeypatch, tmp_path, capsys):
    out = tmp_path / "x.json"
    monkeypatch.setattr(sys, "argv", ["store", "--cells", "10", "--epochs", "2", "--out", str(out)])
    store.main()
    content = json.loads(out.read_text())
    assert (content["cells"], [row["command"] for row in content["rows"]]) == (10, ["plan", "status", "report"])
    assert all(row["seconds"] > 0 and row["gib"] > 0 for row in content["rows"])
    assert "GiB" in capsys.readouterr().out
