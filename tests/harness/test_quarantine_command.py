"""``dfkd ablate`` leaves a quarantined cell alone, ``dfkd status`` lists it, and ``--release`` runs it."""

import pytest

import harness.cells
from small import sets


@pytest.fixture
def options(store):
    return ["table3", "--budget", "smoke", "--seeds", "0", "--store", str(store), "--executor", "local", *sets()]


@pytest.mark.slow
def test_quarantine_from_the_command_line(run, store, options, monkeypatch):
    real = harness.cells.run_summary
    monkeypatch.setattr(harness.cells, "run_summary", lambda history: 1 / 0)
    status, output, stderr = run("ablate", *options, "--retries", "1")
    assert (status, "0 of 4 cells done" in output, stderr.count("quarantined after 2 attempts")) == (1, True, 4)
    assert "`--release` tries them again" in stderr
    monkeypatch.setattr(harness.cells, "run_summary", real)
    status, output, _ = run("ablate", *options, "--retries", "1")
    assert (status, "4 quarantined" in output, "0 of 4 cells done" in output) == (1, True, True)
    _, output, _ = run("status", "--store", str(store))
    assert output.count("quarantined after 2 attempts: cells/") == 4
    assert "ZeroDivisionError" in output
    status, output, _ = run("ablate", *options, "--retries", "1", "--release")
    assert (status, "4 of 4 cells done" in output) == (0, True)
