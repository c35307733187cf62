"""Cells are run until each has ended: retries, quarantine, too little memory, other drivers, dead machines."""

import multiprocessing
import threading
import time

import pytest
import torch

import harness.leases
import harness.rounds
import harness.verdicts
from dfkd.errors import CheckpointError
from harness.failures import INPUT, KILLED, MEMORY, attempts, kind_of, record_failure, release, says_memory
from harness.leases import last_holder
from harness.records import write_json
from harness.room import Outcome, Room
from harness.rounds import Rounds
from harness.store import Store

WHOLE = Room(4, 0)


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    monkeypatch.setattr(harness.rounds, "PERIOD", 0.02)


class Bench:
    """A store, and an executor that does to each cell what a script says, one word an attempt."""

    def __init__(self, root, **script):
        self.store, self.script = Store(root), {cell: list(words) for cell, words in script.items()}
        self.rounds, self.said = [], []

    def execute(self, ids, where, room):
        self.rounds.append((list(ids), room.cpus))
        deaths = {}
        for cell_id in ids:
            word = self.script[cell_id].pop(0)
            if word == "done":
                write_json(self.store.cell(cell_id) / "result.json", {"last": 0.5})
            elif word == "diverged":
                write_json(self.store.cell(cell_id) / "diverged.json", {"error": "nan"})
            elif word == "dies":
                deaths[cell_id] = "The actor died\nSIGKILL"
            else:
                record_failure(self.store, cell_id, error=word, trace="", kind=word)
        return Outcome(WHOLE, deaths)

    def run(self, *ids, retries=2, cpus=1.0):
        rounds = Rounds(self.store, None, Room(cpus, 0), execute=self.execute, retries=retries, say=self.said.append)
        rounds.run(ids)


def test_a_cell_that_fails_is_tried_again_beside_the_others(tmp_path):
    bench = Bench(tmp_path, a=["error", "error", "done"], b=["done"], c=["diverged"])
    bench.run("a", "b", "c")
    assert bench.rounds == [(["a", "b", "c"], 1.0), (["a"], 1.0), (["a"], 1.0)]
    assert [bench.store.read(cell).status for cell in "abc"] == ["done", "done", "diverged"]


def test_one_that_fails_too_often_is_quarantined_until_it_is_released(tmp_path):
    bench = Bench(tmp_path, a=["error"] * 3, b=["done"])
    bench.run("a", "b")
    failure = bench.store.read("a").failure
    assert (failure["attempts"], failure["quarantined"], len(bench.rounds)) == (3, True, 3)
    release(bench.store, "a")
    assert (attempts(bench.store, "a"), bench.store.read("a").status) == (0, "todo")


def test_what_only_a_user_can_mend_is_neither_retried_nor_counted(tmp_path):
    bench = Bench(tmp_path, a=[INPUT])
    bench.run("a")
    assert (attempts(bench.store, "a"), bench.store.read("a").failure["kind"], len(bench.rounds)) == (0, INPUT, 1)
    assert "quarantined" not in bench.store.read("a").failure


def test_too_little_memory_means_half_the_company_and_does_not_count_before_a_cell_is_alone(tmp_path):
    # 4 cores: 1 core a cell (4 at a time), then 2 (2 at a time), then 4 (alone), where it counts.
    bench = Bench(tmp_path, a=[MEMORY, MEMORY, MEMORY, "done"], b=["done"])
    bench.run("a", "b", retries=1)
    assert bench.rounds == [(["a", "b"], 1.0), (["a"], 2.0), (["a"], 4.0), (["a"], 4.0)]
    assert (attempts(bench.store, "a"), bench.store.read("a").status) == (1, "done")
    assert "half the company" in bench.said[0]


def test_alone_and_still_too_little_is_a_failure_like_any(tmp_path):
    bench = Bench(tmp_path, a=[MEMORY] * 2)
    bench.run("a", retries=1, cpus=3)  # 3 of 4 cores: nothing fits beside it
    assert bench.store.read("a").failure["quarantined"]


def test_a_worker_that_died_without_a_word_is_a_failure(tmp_path):
    bench = Bench(tmp_path, a=["dies", "done"], b=["dies"] * 3)
    bench.run("a", "b")
    assert bench.store.read("a").status == "done"
    failure = bench.store.read("b").failure
    assert (failure["kind"], failure["quarantined"]) == (KILLED, True)
    assert "ended without a word: SIGKILL" in failure["error"]


def test_when_the_kernel_killed_something_meanwhile_a_death_is_for_want_of_memory(tmp_path, monkeypatch):
    kills = iter([7, 8, 8, 8])
    monkeypatch.setattr(harness.verdicts, "kernel_kills", lambda: next(kills))
    bench = Bench(tmp_path, a=["dies", "done"])
    bench.run("a", retries=0)
    assert [cpus for _, cpus in bench.rounds] == [1.0, 2.0]


def test_a_full_disk_does_not_make_it_run_for_ever(tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(harness.verdicts, "record_death", full)
    bench = Bench(tmp_path, a=["dies"] * 9)
    bench.run("a")
    assert len(bench.rounds) == 3


def test_a_cell_that_another_process_runs_is_waited_for_and_not_run(tmp_path):
    bench = Bench(tmp_path, a=[], b=["done"])
    context = multiprocessing.get_context("spawn")
    begun, end = context.Event(), context.Event()
    process = context.Process(target=run_elsewhere, args=(tmp_path, begun, end))
    process.start()
    assert begun.wait(60)
    thread = threading.Thread(target=bench.run, args=("a", "b"))
    thread.start()
    deadline = time.monotonic() + 30
    while not bench.said and time.monotonic() < deadline:
        time.sleep(0.01)
    assert f"1 cells are run by others: process {process.pid} on " in bench.said[0]
    end.set()
    thread.join(30)
    process.join()
    assert bench.rounds == [(["b"], 1.0)]
    assert bench.store.read("a").status == "done"


def run_elsewhere(root, begun, end):
    with Store(root).lease("a", patience=0):
        begun.set()
        end.wait(60)
        write_json(root / "cells/a/result.json", {"last": 0.5})


def test_a_cell_of_a_machine_that_died_is_run_here_after_it_was_watched(tmp_path, monkeypatch):
    monkeypatch.setattr(harness.leases, "HEARTBEAT", 0.05)
    monkeypatch.setattr(harness.leases, "EXPIRY", 0.3)
    bench = Bench(tmp_path, a=["done"])
    bench.store.cell("a").mkdir(parents=True)
    with monkeypatch.context() as patch:
        patch.setattr(harness.leases, "this_machine", lambda: "there boot")
        harness.leases._sign(bench.store.cell("a"), 1)
    start = time.monotonic()
    bench.run("a")
    assert time.monotonic() - start >= 0.3
    assert "process" in bench.said[0]
    assert "on there." in bench.said[0]
    assert (bench.store.read("a").status, last_holder(bench.store.cell("a")).number) == ("done", 2)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), MEMORY),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), MEMORY),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), MEMORY),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), MEMORY),
        (RuntimeError("std::bad_alloc"), MEMORY),
        (RuntimeError("could not create a primitive"), MEMORY),
        (RuntimeError("shape mismatch"), "error"),
        (CheckpointError("damaged"), INPUT),
    ],
)
def test_kinds_of_errors(error, kind):
    assert kind_of(error) == kind


def test_rays_own_memory_watch_is_recognised():
    assert says_memory("Task was killed due to the node running low on memory.")
    assert not says_memory("The actor died unexpectedly before finishing this task.")
