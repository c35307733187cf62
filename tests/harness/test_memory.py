"""The cap on a process's memory: what there is, what is refused, and that a cell that was refused gets more room."""

import subprocess
import sys

import pytest

import harness.executors.tune
from harness.cells import run_cell
from harness.memory import capped, total_memory
from small import sets

GIB = 2**30

linux = pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux alone caps private memory")

TRY = """
import torch
from harness.failures import kind_of
from harness.memory import capped, total_memory

def ask(share):
    try:
        return torch.empty(int(share * total_memory()), dtype=torch.uint8).numel() > 0
    except RuntimeError as error:
        return kind_of(error)

with capped("cpu", 0.25):
    print(ask(0.1), ask(0.4), ask(0.1), end=" ")
with capped("cpu", 1):
    print(ask(0.4), end=" ")
print(ask(0.4))
"""


@linux
def test_what_is_more_than_a_share_is_refused_as_too_little_memory_and_the_process_goes_on():
    told = subprocess.run([sys.executable, "-c", TRY], capture_output=True, text=True, timeout=120)
    assert told.stdout.split() == ["True", "memory", "True", "True", "True"], told.stderr


@pytest.mark.parametrize(
    ("line", "folder", "name"),
    [
        ("0::/job/step", "", "memory.max"),
        ("4:memory:/job/step", "memory", "memory.limit_in_bytes"),
    ],
)
def test_a_container_or_job_has_no_more_than_its_limit(tmp_path, line, folder, name):
    proc, groups = tmp_path / "proc", tmp_path / "groups"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal:       16777216 kB\nMemFree: 1 kB\n")
    (proc / "self/cgroup").write_text(f"3:cpuset:/\n{line}\n")
    job = groups / folder / "job"
    (job / "step").mkdir(parents=True)
    (job / "step" / name).write_text("max\n")
    assert total_memory(proc=proc, groups=groups) == 16 * GIB
    (job / name).write_text(f"{4 * GIB}\n")
    assert total_memory(proc=proc, groups=groups) == 4 * GIB
    (job / "step" / name).write_text(f"{GIB}\n")
    assert total_memory(proc=proc, groups=groups) == GIB


def test_a_cell_alone_has_no_cap():
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    with capped("cpu", 1.0):
        assert resource.getrlimit(resource.RLIMIT_DATA) == before


def trial_that_asks_for_most_of_the_memory(config, **options):
    """Do what ``tune._trial`` does; each epoch also asks for six tenths of the machine's memory, untouched."""
    from unittest.mock import patch

    import torch

    from harness.executors import tune

    def hungry(cell_id, where, *, report, patience):
        def ask(record):
            torch.empty(int(0.6 * total_memory()), dtype=torch.uint8)
            return report(record)

        run_cell(cell_id, where, report=ask, patience=patience)

    with patch.object(tune, "run_cell", hungry):
        tune._trial(config, **options)


@linux
@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_a_cell_that_was_refused_memory_runs_again_with_less_company(run, store, monkeypatch):
    import ray

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setattr(harness.executors.tune, "_trial", trial_that_asks_for_most_of_the_memory)
    options = ["table3", "--budget", "smoke", "--seeds", "0", "--retries", "0", "--store", str(store), *sets()]
    status, output, _ = run("ablate", *options)
    assert (status, "4 of 4 cells done" in output) == (0, True), output
    assert output.count("Memory did not suffice for 4 cells beside others: again with half the company.") == 1
    assert not list((store / "cells").glob("*/failure.json"))
    assert not any(path.read_text() for path in (store / "cells").glob("*/failures.jsonl"))  # no attempt counted
