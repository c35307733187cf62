"""Getting a data set from its publisher: fetched, compared with its checksum, unpacked aside, then put in its place."""

import hashlib
import http.client
import tarfile
import urllib.request
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path, PurePosixPath, PureWindowsPath
from tempfile import TemporaryDirectory

from dfkd.data.sources import SOURCES, Archive, by_hand
from dfkd.errors import DataError

CHUNK = 1 << 20
TIMEOUT = 60
"""Seconds without a byte."""


@dataclass(frozen=True)
class Fetched:
    """How far the download of a file is."""

    file: str
    """Its name."""
    done: int
    """Bytes."""
    total: int | None
    """Bytes; None if the publisher does not say."""


def target(name: str, root: Path) -> Path:
    """Return the folder that ``download`` makes in ``root``.

    Raises:
        DataError: the publisher of data set ``name`` serves no archive; the message says what to do by hand.
    """
    if name not in SOURCES:
        raise DataError(f"Only a data set that is read from disk can be downloaded, but {name} comes with the program.")
    source = SOURCES[name]
    if not source.archives:
        raise DataError(
            f"A data set can be downloaded if its publisher serves it, but {name} has to be put there by hand "
            f"(DIR is what you give as `--data-root`):\n{by_hand(source)}"
        )
    return root / source.folder


def download(name: str, root: Path) -> Iterator[Fetched]:
    """Download data set ``name`` and put its folder, ``target(name, root)``, in ``root``; yield progress.

    Nothing is left in ``root`` unless everything arrived as published: files are unpacked in a folder of their own, and
    the data set's folder is moved to its place in one step.

    Raises:
        DataError: not served, not reachable, altered, unreadable, or an archive with members that do not belong in one.
    """
    place, source = target(name, root), SOURCES[name]
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"The data root must be a folder that can be written to, but {root}: {error.strerror}."
        ) from None
    with TemporaryDirectory(prefix=".download-", dir=root) as aside:
        unpacked = Path(aside) / "unpacked"
        inside = unpacked / source.into
        inside.mkdir(parents=True)
        for archive in source.archives:
            path = (Path(aside) if archive.unpack else inside) / archive.file_name
            yield from _fetch(archive, path)
            if archive.unpack:
                extract(path, inside)
                path.unlink()
        made = unpacked / source.folder
        if not made.is_dir():
            raise DataError(
                f"The archive of {name} must hold the folder {source.folder}, but it has none. Its publisher may have "
                "changed it: get it by hand."
            )
        made.rename(place)


def _fetch(archive: Archive, path: Path) -> Iterator[Fetched]:
    """Download to ``path`` and compare the checksum."""
    digest, done = hashlib.md5(usedforsecurity=False), 0
    try:
        with urllib.request.urlopen(archive.url, timeout=TIMEOUT) as response, path.open("wb") as file:
            length = response.headers.get("Content-Length")
            while chunk := response.read(CHUNK):
                file.write(chunk)
                digest.update(chunk)
                done += len(chunk)
                yield Fetched(archive.file_name, done, int(length) if length else None)
    except (OSError, http.client.HTTPException) as error:
        raise DataError(
            f"{archive.url} must be reachable, and there must be room for it in {path.parent.parent}, but: {error}. "
            "Try again; nothing was left behind."
        ) from None
    if digest.hexdigest() != archive.md5:
        raise DataError(
            f"{archive.url} must have the MD5 checksum {archive.md5}, but the {done} bytes that came have "
            f"{digest.hexdigest()}. Nothing was unpacked. Try again; if it stays so, its publisher has changed it."
        )


def extract(archive: Path, folder: Path) -> None:
    """Unpack a tar archive, plain or compressed, into ``folder``: regular files and folders below it, nothing else.

    Raises:
        DataError: unreadable, or a member that is a link, a device, or has a path that leads out of the folder.
    """
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                _check_member(member, archive)
                tar.extract(member, folder, filter="data")
    except (tarfile.TarError, OSError, EOFError, zlib.error, LZMAError) as error:
        raise DataError(
            f"{archive.name} must be a whole tar archive that can be unpacked in {folder}, but: "
            f"{type(error).__name__}: {error}. Download it again; nothing was left behind."
        ) from None


def _check_member(member: tarfile.TarInfo, archive: Path) -> None:
    windows = PureWindowsPath(member.name)  # it takes both kinds of slash as separators, and sees drive letters
    if PurePosixPath(member.name).is_absolute() or windows.anchor or ".." in windows.parts:
        rule, found = "have paths below the folder that it is unpacked in", "leads out of it"
    elif not (member.isfile() or member.isdir()):
        rule, found = "be a file or a folder", "is a link or a device"
    else:
        return
    raise DataError(
        f"Every member of {archive.name} must {rule}, but {member.name!r} {found}. Do not trust this archive; "
        "nothing was left behind."
    )
