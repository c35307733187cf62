"""Downloading from a publisher that is a folder here: what arrives, and what is refused without leaving a trace."""

import io
import tarfile
from dataclasses import replace

import pytest

from dfkd.data.download import download, extract, target
from dfkd.data.sources import SOURCES, Archive
from dfkd.errors import DataError
from roots import BUILDERS, md5

SERVED = [name for name, source in SOURCES.items() if source.archives]


def pack(path, members, *, mode="w:gz"):
    """Write a tar archive of (name, bytes) or of TarInfo members."""
    with tarfile.open(path, mode) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))


def serve(monkeypatch, name, *archives):
    monkeypatch.setitem(SOURCES, name, replace(SOURCES[name], archives=archives))


def at(path, *, checksum=None, unpack=True):
    return Archive(path.as_uri(), checksum or md5(path), unpack)


def link(kind, target):
    info = tarfile.TarInfo("CUB_200_2011/link")
    info.type, info.linkname = kind, target
    return info


def fifo():
    info = tarfile.TarInfo("CUB_200_2011/pipe")
    info.type = tarfile.FIFOTYPE
    return info


def refused(root, message):
    """Assert that CUB is refused and that nothing is left behind."""
    with pytest.raises(DataError, match=message):
        list(download("cub200", root))
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("name", SERVED)
def test_what_is_downloaded_can_be_loaded(name, tmp_path, monkeypatch):
    from dfkd.config import DataConfig
    from dfkd.data import dataset_spec

    made = BUILDERS[name](tmp_path / "published", monkeypatch)
    base, source, archives = made.path / made.folder, SOURCES[name], []
    for number, real in enumerate(source.archives):
        path = tmp_path / real.file_name
        if not real.unpack:
            path.write_bytes((base / real.file_name).read_bytes())
        else:
            inside = base if source.into else base.parent
            parts = sorted(inside.iterdir()) if source.into else [base]
            mine = parts[number :: len(source.archives)] if name == "pets" else parts
            with tarfile.open(path, "w:gz") as tar:
                for part in mine:
                    tar.add(part, arcname=part.relative_to(inside))
        archives.append(at(path, unpack=real.unpack))
    serve(monkeypatch, name, *archives)
    root = tmp_path / "new" / "data"
    steps = list(download(name, root))
    assert steps[-1].done == steps[-1].total == (tmp_path / steps[-1].file).stat().st_size
    assert [path.name for path in root.iterdir()] == [made.folder]
    config = DataConfig(dataset=name, image_size=16)
    load = dataset_spec(name).load
    assert load(config, root=root, split="test").fingerprint == load(config, root=made.path, split="test").fingerprint


def test_a_wrong_checksum_is_named_and_nothing_is_unpacked(tmp_path, monkeypatch):
    pack(tmp_path / "CUB.tgz", [("CUB_200_2011/images.txt", b"1 a.png\n")])
    serve(monkeypatch, "cub200", at(tmp_path / "CUB.tgz", checksum="0" * 32))
    monkeypatch.setattr("tarfile.open", lambda *args, **kwargs: pytest.fail("opened"))
    found = md5(tmp_path / "CUB.tgz")
    refused(tmp_path / "data", rf"CUB.tgz must have the MD5 checksum {'0' * 32}, but .* have {found}")


def test_a_publisher_that_cannot_be_reached_is_named(tmp_path, monkeypatch):
    serve(monkeypatch, "cub200", Archive((tmp_path / "nowhere.tgz").as_uri(), "0" * 32))
    refused(tmp_path / "data", r"nowhere.tgz must be reachable, .* but: .*No such file")


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (("../outside.txt", b"x"), r"'../outside.txt' leads out of it"),
        (("CUB_200_2011/../../outside.txt", b"x"), "leads out of it"),
        (("/outside.txt", b"x"), r"'/outside.txt' leads out of it"),
        (("C:\\outside.txt", b"x"), "leads out of it"),
        (("CUB_200_2011\\..\\..\\outside.txt", b"x"), "leads out of it"),
        (link(tarfile.SYMTYPE, "/etc/passwd"), "must be a file or a folder, but 'CUB_200_2011/link' is a link"),
        (link(tarfile.SYMTYPE, "images.txt"), "is a link or a device"),
        (link(tarfile.LNKTYPE, "CUB_200_2011/images.txt"), "is a link or a device"),
        (fifo(), "is a link or a device"),
    ],
)
def test_members_that_do_not_belong_in_a_data_set_are_refused(tmp_path, monkeypatch, member, message):
    pack(tmp_path / "CUB.tgz", [("CUB_200_2011/images.txt", b"1 a.png\n"), member])
    serve(monkeypatch, "cub200", at(tmp_path / "CUB.tgz"))
    before = sorted(path.name for path in tmp_path.iterdir())
    refused(tmp_path / "data", message + r".*Do not trust this archive")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*before, "data"])


@pytest.mark.parametrize(
    "damage",
    [lambda b: b"", lambda b: b"not an archive", lambda b: b[: len(b) // 2], lambda b: b[:40] + b"\0\0\0\0" + b[44:]],
)
def test_an_archive_that_cannot_be_read_is_named(tmp_path, monkeypatch, damage):
    pack(tmp_path / "CUB.tgz", [(f"CUB_200_2011/{i}.txt", bytes(range(256)) * i) for i in range(9)])
    (tmp_path / "CUB.tgz").write_bytes(damage((tmp_path / "CUB.tgz").read_bytes()))
    serve(monkeypatch, "cub200", at(tmp_path / "CUB.tgz"))
    refused(tmp_path / "data", "CUB.tgz must be a whole tar archive")


def test_an_archive_of_something_else_is_refused(tmp_path, monkeypatch):
    pack(tmp_path / "CUB.tgz", [("birds/images.txt", b"1 a.png\n")])
    serve(monkeypatch, "cub200", at(tmp_path / "CUB.tgz"))
    refused(tmp_path / "data", "must hold the folder CUB_200_2011")


def test_a_root_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "data").write_text("")
    with pytest.raises(DataError, match="must be a folder that can be written to"):
        list(download("cub200", tmp_path / "data"))


@pytest.mark.parametrize("name", ["stanford_cars", "imagefolder"])
def test_what_no_publisher_serves_has_steps(name, tmp_path):
    with pytest.raises(DataError, match=rf"(?s)by hand.*1\. .*dfkd data check {name}"):
        target(name, tmp_path)


def test_digits_need_no_download(tmp_path):
    with pytest.raises(DataError, match="digits comes with the program"):
        target("digits", tmp_path)


def test_plain_archives_and_folders_are_unpacked_with_safe_modes(tmp_path):
    folder = tarfile.TarInfo("a")
    folder.type, folder.mode = tarfile.DIRTYPE, 0o777
    pack(tmp_path / "x.tar", [folder, ("a/b.txt", b"hello")], mode="w")
    (tmp_path / "out").mkdir()
    extract(tmp_path / "x.tar", tmp_path / "out")
    assert (tmp_path / "out/a/b.txt").read_bytes() == b"hello"
    assert (tmp_path / "out/a").stat().st_mode & 0o022 == 0
