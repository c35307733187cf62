"""Finished cells whose trainer has changed since: counted, marked or kept, or run again."""

import json
import shutil

import pytest

import harness.cells
from dfkd.config import RunConfig
from dfkd.overrides import flatten
from harness.fingerprint import fingerprint
from harness.records import read_json, write_json
from harness.staleness import stale_cells, staleness
from harness.store import Store
from small import sets

DAGGER = "\u2020"
CONFIG = flatten(RunConfig())
PRESENT = fingerprint(CONFIG)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (None, None),
        ({"trainer": [PRESENT]}, "current"),
        ({"trainer": ["0" * 16]}, "stale"),
        ({"trainer": ["0" * 16, PRESENT]}, "stale"),  # its first epochs were trained by other code
        ({"trainer": ["unknown", PRESENT]}, "unknown"),
        ({"last": 0.5}, "unknown"),  # from before fingerprints
    ],
)
def test_a_cell_is_stale_if_any_of_its_epochs_is_of_other_code(tmp_path, result, expected):
    write_json(tmp_path / "cells/a/config.json", {"config": CONFIG})
    if result is not None:
        write_json(tmp_path / "cells/a/result.json", result)
    assert staleness(tmp_path, Store(tmp_path).read("a")) == expected
    assert stale_cells(tmp_path, ["a"]) == (("a",) if expected == "stale" else ())


def test_a_configuration_from_before_a_field_was_there_has_the_fields_default(tmp_path):
    config = {key: value for key, value in CONFIG.items() if key != "method"}
    write_json(tmp_path / "cells/a/config.json", {"config": config})
    write_json(tmp_path / "cells/a/result.json", {"trainer": [PRESENT]})
    assert staleness(tmp_path, Store(tmp_path).read("a")) == "current"


def options_of(store):
    return ["table5", "--budget", "smoke", "--seeds", "0", "--store", str(store), *sets()]


@pytest.fixture(scope="module")
def after_the_grid(teacher_store, tmp_path_factory):
    """A store after the grid was run. Copy it."""
    from typer.testing import CliRunner

    from harness.cli.main import app

    store = shutil.copytree(teacher_store, tmp_path_factory.mktemp("grid") / "runs")
    result = CliRunner().invoke(app, ["ablate", *options_of(store), "--executor", "local"])
    assert result.exit_code == 0, result.output
    return store


class TestGrid:
    """table5's three rows at one seed, run by code that then changes."""

    @pytest.fixture
    def store(self, after_the_grid, tmp_path):
        """A fresh copy of ``after_the_grid``."""
        return shutil.copytree(after_the_grid, tmp_path / "runs")

    @pytest.fixture
    def former(self, store):
        """The cells of the grid, all of which but the first have been given another fingerprint."""
        cells = sorted((store / "cells").iterdir())
        for cell in cells[1:]:
            write_json(cell / "result.json", read_json(cell / "result.json") | {"trainer": ["0" * 16]})
        return cells

    def test_status_plan_and_tables_say_so(self, run, store, former):
        content = json.loads(run("status", "--store", str(store), "--json")[1])
        assert (content["stale"], content["unknown_code"], content["plans"][0]["stale"]) == (2, 0, 2)
        output = run("status", "--store", str(store))[1]
        assert "Of the done cells 2 are stale" in output
        assert "2 finished cells are stale" in run("plan", *options_of(store))[1]
        assert json.loads(run("plan", *options_of(store), "--json")[1])["stale"] == 2
        table = run("report", *options_of(store))[1]
        assert sum(line.startswith("R = ") and DAGGER in line for line in table.splitlines()) == 2
        assert f"{DAGGER}: 2 of 3 runs stale" in " ".join(table.split())
        assert run("report", *options_of(store), "--runs")[1].count(f"00000000 {DAGGER}") == 2

    def test_kept_ones_are_not_marked_until_they_are_to_be_again(self, run, store, former):
        for policy, marks in (("keep", 0), ("mark", 3)):
            status, output, _ = run("ablate", *options_of(store), "--executor", "local", "--stale", policy)
            assert status == 0
            assert "2 finished cells are stale" in output
            assert "0 to do" in output
            assert run("report", *options_of(store))[1].count(DAGGER) == marks

    def test_a_rerun_replaces_them_and_keeps_the_former_results(self, run, store, former):
        before = {cell.name: read_json(cell / "result.json") for cell in former}
        status, output, _ = run("ablate", *options_of(store), "--executor", "local", "--stale", "rerun")
        assert (status, "3 of 3 cells done" in output) == (0, True)
        assert "2 finished cells are stale" in output
        assert "run again" in output
        after = {cell.name: read_json(cell / "result.json") for cell in former}
        assert [before[cell.name] == after[cell.name] for cell in former] == [True, False, False]
        for cell in former[1:]:
            (kept,) = (cell / "former").iterdir()
            assert read_json(kept / "result.json") == before[cell.name]
            assert (kept / "student.pt").exists()
            assert after[cell.name]["last"] == before[cell.name]["last"]  # the code had not really changed
        assert DAGGER not in run("report", *options_of(store))[1]
        assert json.loads(run("status", "--store", str(store), "--json")[1])["stale"] == 0

    def test_what_a_budget_leaves_out_keeps_its_result(self, run, store, former):
        command = ["ablate", *options_of(store), "--executor", "local", "--stale", "rerun"]
        status, output, _ = run(*command, "--budget-hours", "1e-9")
        assert status == 0
        assert "Left out by `--budget-hours 1e-09`: 2 of 2 cells" in output
        assert all((cell / "result.json").exists() for cell in former)
        assert not any((cell / "former").exists() for cell in former)


def test_a_cell_that_is_resumed_by_other_code_names_both(run, store, monkeypatch):
    command = ["distill", "--budget", "smoke", "--store", str(store), *sets()]
    monkeypatch.setattr(harness.cells, "fingerprint", lambda config: "1" * 16)

    def stop_after_the_first(*args, **kwargs):
        yield next(distill(*args, **kwargs))
        raise MemoryError("between two epochs")

    distill = harness.cells.distill
    monkeypatch.setattr(harness.cells, "distill", stop_after_the_first)
    assert run(*command)[0] == 1
    monkeypatch.undo()
    assert run(*command)[0] == 0
    (cell,) = (store / "cells").iterdir()
    content = read_json(cell / "config.json")["config"]
    assert read_json(cell / "result.json")["trainer"] == ["1" * 16, fingerprint(content)]
    assert not (cell / "training.json").exists()
