"""What two runs must have in common to be the same run."""

import torch

from dfkd.loop import TIMINGS


def numbers(records):
    """Return the records without what differs when a run is repeated."""
    return [{key: value for key, value in record.items() if key not in TIMINGS} for record in records]


def same(one, other):
    """Return whether two nested states are equal to the bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other) and one.dtype == other.dtype
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other
