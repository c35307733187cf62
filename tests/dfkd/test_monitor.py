"""What an epoch's cost says of memory: the most since it began, whatever came before."""

import sys

import pytest
import torch

from dfkd.monitor import EpochCost

MIB = 2**20


def peak(cost):
    return cost.record(())["peak_memory_bytes"]


def test_the_peak_holds_what_was_let_go_again():
    cost = EpochCost(torch.device("cpu"))
    before = peak(cost)
    block = torch.ones(64 * MIB // 4)
    del block
    assert peak(cost) >= before + 60 * MIB


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process forget its peak")
def test_an_epoch_does_not_inherit_the_peak_of_the_one_before():
    first = EpochCost(torch.device("cpu"))
    block = torch.ones(64 * MIB // 4)
    del block
    of_first = peak(first)
    assert peak(EpochCost(torch.device("cpu"))) <= of_first - 50 * MIB
