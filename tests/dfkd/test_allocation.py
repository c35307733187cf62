"""Memory is kept while a run goes on and handed back after it; the run's numbers do not know."""

import resource
import subprocess
import sys

import pytest
import torch

from dfkd import allocation
from dfkd.allocation import keeping_memory, memory_kept
from dfkd.loop import distill
from records import numbers

needs_glibc = pytest.mark.skipif(allocation._glibc() is None, reason="mallopt is glibc's")

LARGE = 2**24
"""Numbers of a tensor of 64 MiB, which glibc would map for itself."""

SETTLING = 12
"""Of them, before glibc finds room for the next one, with its alignment, where one was freed."""


def faults(times):
    """Return how many pages were touched for the first time while so many large tensors were made and freed."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        torch.zeros(LARGE)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def held():
    """Return the bytes of this process's resident memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


@needs_glibc
def test_freed_memory_is_used_again():
    # 64 MiB are 16,384 pages of 4 KiB, fewer if they are huge ones: ten tensors touch theirs ten times, or once.
    plain = faults(10)
    with memory_kept():
        faults(SETTLING)
        assert faults(10) < plain / 10


@needs_glibc
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
def test_at_the_end_it_is_handed_back():
    with memory_kept():
        faults(SETTLING)
        kept = held()
    assert held() < kept - 2 * LARGE  # half of its 4 bytes a number


@needs_glibc
def test_the_last_of_overlapping_blocks_hands_back():
    with memory_kept():
        with memory_kept():
            faults(SETTLING)
        kept = held()
        assert faults(1) < 1000  # of 16,384: the end of the inner block handed nothing back
    assert held() < kept - 2 * LARGE


def test_a_run_that_fails_hands_back_too():
    @keeping_memory
    def run(count):
        """Count."""
        yield from range(count)
        raise ValueError("enough")

    assert run.__doc__ == "Count."
    found = []
    with pytest.raises(ValueError, match="enough"):
        found.extend(run(2))
    assert allocation._keeping == 0


def test_a_run_keeps_memory_and_no_number_moves(tiny, teacher, digits, monkeypatch):
    seen = []
    real = allocation._set
    monkeypatch.setattr(allocation, "_set", lambda library, values: seen.append(values) or real(library, values))

    def run():
        return numbers(distill(tiny(), teacher=teacher, test=digits[1], device=torch.device("cpu")))

    kept = run()
    assert seen == [allocation._KEEPING, allocation._USUAL] * bool(allocation._glibc())
    monkeypatch.setattr(allocation, "_glibc", lambda: None)
    assert run() == kept


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(allocation, "_glibc", lambda: None)
    with memory_kept():
        assert allocation._keeping == 0


@needs_glibc
def test_a_process_can_train_with_it_and_end():
    """The heap of a thread, where Ray runs trials, is another one."""
    program = """
import threading, torch
from dfkd.allocation import memory_kept
def work():
    with memory_kept():
        for _ in range(3):
            assert torch.zeros(2**24).sum() == 0
thread = threading.Thread(target=work)
thread.start(); thread.join()
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
