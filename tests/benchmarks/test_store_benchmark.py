"""The benchmark of a large store runs, on a small one."""

import json
import sys

import numpy as np
import pytest

from benchmarks import store


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
