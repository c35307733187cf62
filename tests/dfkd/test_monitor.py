"""What an epoch's cost says of memory: the most since it began, whatever came before.

Measured in a process of its own, as other tests' threads may give memory back meanwhile, and with pages asked of the
system itself, as an allocator may keep what is let go.
"""

import json
import subprocess
import sys

import pytest

MIB = 2**20
SCRIPT = """
import json, mmap, torch
from dfkd.monitor import EpochCost

def peak(cost):
    return cost.record(())["peak_memory_bytes"]

first = EpochCost(torch.device("cpu"))
before = peak(first)
with mmap.mmap(-1, 64 * 2**20) as block:
    for page in range(0, len(block), mmap.PAGESIZE):
        block[page] = 1
of_first = peak(first)
print(json.dumps({"before": before, "first": of_first, "second": peak(EpochCost(torch.device("cpu")))}))
"""


@pytest.fixture(scope="module")
def peaks():
    """The peak before a block of 64 MiB came and went, after it, and in an epoch that begins afterwards."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=120)
    return json.loads(done.stdout)


def test_the_peak_holds_what_was_let_go_again(peaks):
    assert peaks["first"] >= peaks["before"] + 60 * MIB


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process forget its peak")
def test_an_epoch_does_not_inherit_the_peak_of_the_one_before(peaks):
    assert peaks["second"] <= peaks["first"] - 50 * MIB
