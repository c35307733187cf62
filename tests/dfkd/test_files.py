"""Atomic writing, and reading that executes nothing."""

import os
import pickle
import subprocess
import sys

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dfkd.errors import CheckpointError
from dfkd.files import atomic_path, load, save

CONTENT = {"weights": torch.arange(6.0).view(2, 3), "names": ["a", "b"], "history": [{"epoch": 1, "loss": 0.5}]}


def read(path):
    return load(path, what="thing", way_out="Make it again.")


def test_what_is_saved_can_be_loaded(tmp_path):
    save(CONTENT, tmp_path / "new" / "folder" / "x.pt")
    content = read(tmp_path / "new" / "folder" / "x.pt")
    assert torch.equal(content.pop("weights"), CONTENT["weights"])
    assert content == {key: CONTENT[key] for key in ("names", "history")}


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "x.pt"
    save(CONTENT, path)
    before = path.read_bytes()
    with pytest.raises(ZeroDivisionError), atomic_path(path) as part:
        raise ZeroDivisionError(part.write_text("half"))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


NO_ROOM = """
import gc, os, resource, sys, torch
from pathlib import Path
from dfkd.files import save
path = Path(sys.argv[1])
save({"x": torch.zeros(8)}, path)
before = path.read_bytes()
gc.disable()  # nothing but the end of its last reference closes a file here
resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
try:
    save({"x": torch.zeros(2**20)}, path)
except OSError as error:
    links = [Path("/proc/self/fd") / each for each in os.listdir("/proc/self/fd")]
    names = [os.readlink(link) for link in links if link.is_symlink()]
    assert not [name for name in names if path.name in name], names
    assert path.read_bytes() == before
    print(error)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
def test_what_there_is_no_room_for_is_an_error_of_the_system_and_holds_no_file_open(tmp_path):
    told = subprocess.run(
        [sys.executable, "-c", NO_ROOM, str(tmp_path / "x.pt")], check=True, capture_output=True, text=True, timeout=120
    ).stdout
    assert "x.pt could not be written, with " in told
    assert "MiB free on its disk: " in told
    assert [path.name for path in tmp_path.iterdir()] == ["x.pt"]


def test_the_old_file_is_there_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with atomic_path(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
        assert part.parent == path.parent  # a rename across file systems would not be atomic
    assert path.read_text() == "new"


def test_a_missing_file_is_named_with_the_way_out(tmp_path):
    with pytest.raises(CheckpointError, match=r"The thing must exist, but there is no file .*x.pt. Make it again."):
        read(tmp_path / "x.pt")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(0, 0.999))
def test_a_file_cut_anywhere_is_refused(tmp_path, share):
    path = tmp_path / "x.pt"
    save(CONTENT, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CheckpointError, match=r"must be a whole checkpoint, but .*cannot be read: .*Make it again."):
        read(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=40))
@example(b".")  # an IndexError inside torch's unpickler
@example(b"b")
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("start", [b"", b"\x80\x02", b"PK\x03\x04"], ids=["nothing", "pickle", "zip"])
def test_bytes_that_are_no_checkpoint_are_refused(tmp_path, start, content):
    (tmp_path / "x.pt").write_bytes(start + content)
    with pytest.raises(CheckpointError, match="Make it again"):
        read(tmp_path / "x.pt")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(0, 0.999), st.integers(1, 255))
@example(0.0, 1)
def test_a_file_with_a_changed_byte_is_refused_or_read(tmp_path, share, change):
    path = tmp_path / "x.pt"
    save(CONTENT, path)
    content = bytearray(path.read_bytes())
    content[int(share * len(content))] ^= change
    path.write_bytes(bytes(content))
    try:
        read(path)
    except CheckpointError as error:
        assert "Make it again" in str(error)  # noqa: PT017  # either outcome is right, any other exception is not


class Malice:
    """Pickles into a call of os.mkdir."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("write", [lambda c, f: pickle.dump(c, f), lambda c, f: torch.save(c, f)])
def test_code_in_a_file_is_refused_and_not_executed(tmp_path, write):
    with (tmp_path / "x.pt").open("wb") as file:
        write({"weights": Malice(str(tmp_path / "made"))}, file)
    with pytest.raises(CheckpointError, match="cannot be read"):
        read(tmp_path / "x.pt")
    assert not (tmp_path / "made").exists()


def test_a_file_that_holds_something_else_is_refused(tmp_path):
    torch.save([1, 2], tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=r"must be a checkpoint, but .* holds a list. Make it again."):
        read(tmp_path / "x.pt")
