"""The last rows of what a run made: what they are, and that a state brings them back."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dfkd.errors import CheckpointError
from dfkd.replay.ring import Ring

KINDS = {"memory": False, "file": True}


@pytest.fixture(params=KINDS)
def ring(request, tmp_path):
    """Return ``ring(capacity, spare)`` of bytes of shape (2, 3), the same file each time."""
    path = tmp_path / "run" / "state.images" if KINDS[request.param] else None
    return lambda capacity=5, spare=20: Ring((2, 3), dtype=torch.uint8, capacity=capacity, spare=spare, path=path)


def rows(numbers):
    return torch.tensor(list(numbers), dtype=torch.uint8).view(-1, 1, 1).expand(-1, 2, 3)


def content(ring):
    return ring.take(torch.arange(len(ring)))[:, 0, 0].tolist()


def test_holds_the_newest_rows_in_order(ring):
    filled = ring(capacity=5)
    filled.add(rows(range(3)))
    assert content(filled) == [0, 1, 2]
    filled.add(rows(range(3, 7)))
    assert content(filled) == [2, 3, 4, 5, 6]
    assert torch.equal(filled.take(torch.tensor([4, 0])), rows([6, 2]))


@given(st.lists(st.integers(0, 9), max_size=6), st.integers(1, 7), st.booleans())
def test_is_the_end_of_a_list(tmp_path_factory, counts, capacity, in_file):
    path = tmp_path_factory.mktemp("ring") / "rows" if in_file else None
    held, ring = [], Ring((2, 3), dtype=torch.uint8, capacity=capacity, spare=60, path=path)
    for count in counts:
        new = range(len(held), len(held) + count)
        ring.add(rows(new))
        held += new
    assert len(ring) == min(len(held), capacity)
    assert len(ring) == 0 or content(ring) == held[-capacity:]


def test_a_state_brings_the_rows_back(ring):
    first = ring()
    first.add(rows(range(8)))
    state = first.state_dict()
    again = ring()
    again.load_state_dict(state)
    assert content(again) == [3, 4, 5, 6, 7]
    for each in (first, again):
        each.add(rows([8, 9]))
    assert content(again) == content(first) == [5, 6, 7, 8, 9]


def test_rows_added_after_the_last_state_do_not_harm_it(ring):
    """A run that dies within an epoch has written rows that the state knows nothing of."""
    died = ring(capacity=5, spare=4)
    died.add(rows(range(4)))
    state = died.state_dict()
    died.add(rows(range(50, 54)))
    again = ring(capacity=5, spare=4)
    again.load_state_dict(state)
    assert content(again) == [0, 1, 2, 3]
    again.add(rows(range(4, 8)))
    assert content(again) == [3, 4, 5, 6, 7]


def test_an_empty_state_begins_anew(ring):
    again = ring()
    again.load_state_dict(ring().state_dict())
    assert len(again) == 0
    again.add(rows([1]))
    assert content(again) == [1]


def test_floating_point_rows(tmp_path):
    for path in (None, tmp_path / "features"):
        ring = Ring((4,), dtype=torch.float32, capacity=3, spare=3, path=path)
        ring.add(torch.tensor([[0.1, -2.0, 1e-20, 3.0]]))
        assert torch.equal(ring.take(torch.tensor([0])), torch.tensor([[0.1, -2.0, 1e-20, 3.0]]))


def filled_file(path, numbers):
    ring = Ring((2, 3), dtype=torch.uint8, capacity=5, spare=5, path=path)
    ring.add(rows(numbers))
    return ring.state_dict()


def test_a_new_run_sees_nothing_of_a_former_one(tmp_path):
    path = tmp_path / "state.images"
    filled_file(path, range(5))
    fresh = Ring((2, 3), dtype=torch.uint8, capacity=5, spare=5, path=path)
    assert len(fresh) == 0
    fresh.add(rows([9]))
    assert content(fresh) == [9]
    assert sum(path.read_bytes()) == 9 * 6


@pytest.mark.parametrize("harm", ["deleted", "truncated", "another run's", "one byte"])
def test_a_file_that_is_not_the_states_is_refused(tmp_path, harm):
    path = tmp_path / "state.images"
    state = filled_file(path, range(5))
    if harm == "deleted":
        path.unlink()
    elif harm == "truncated":
        path.write_bytes(path.read_bytes()[:-7])
    elif harm == "another run's":
        filled_file(path, range(10, 15))
    else:
        path.write_bytes(b"\xff" + path.read_bytes()[1:])
    with pytest.raises(CheckpointError, match=r"state.images beside it must belong together.*start this run anew"):
        Ring((2, 3), dtype=torch.uint8, capacity=5, spare=5, path=path).load_state_dict(state)


def test_a_states_size_does_not_grow_with_the_rows(tmp_path):
    state = filled_file(tmp_path / "x", range(5))
    assert set(state) == {"added", "checksums"}
    assert state["checksums"].shape == (5,)
