"""What the readers of published index files share: finding the data set, checking its files, naming what is wrong."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from os.path import normpath
from pathlib import Path

from dfkd.data.sources import SOURCES, way_out
from dfkd.errors import DataError


def find_base(name: str, root: Path | None, files: Mapping[str, str | None]) -> Path:
    """Return the folder in which torchvision looks for the data set ``name``, once all its index files are there.

    Args:
        name: of the data set.
        root: the folder that holds the data set's own folder, or that folder itself.
        files: paths below the data set's own folder that must exist, each with its MD5 checksum if it is known.

    Raises:
        DataError: no root, or a file that is missing or altered; the message says how to get the data set.
    """
    own = SOURCES[name].folder
    if root is None:
        raise DataError(
            f"The data set {name} must be read from disk: give `--data-root DIR`, the folder that holds {own}. "
            f"{way_out(name)}"
        )
    base = root.parent if root.name == own and not (root / own).exists() else root
    if not root.is_dir():
        raise DataError(f"The data root must be a folder that holds {own}, but {root} is none. {way_out(name)}")
    for file, md5 in files.items():
        path = Path(normpath(base / own / file))
        if not path.exists():
            raise DataError(f"The data set {name} must be whole, but {path} is missing. {way_out(name)}")
        if md5 is not None and md5_of(path) != md5:
            raise DataError(
                f"{path} must be as published (MD5 {md5}), but its MD5 is {md5_of(path)}. Delete "
                f"{base / own} and get it again: dfkd data download {name} --data-root DIR"
            )
    return base


def md5_of(path: Path) -> str:
    """Return the MD5 checksum of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


@contextmanager
def reading(index: Path) -> Iterator[None]:
    """Turn whatever goes wrong in reading the files of ``index`` into a DataError that names them."""
    try:
        yield
    except Exception as error:  # damaged bytes make the readers of these formats raise almost anything
        raise DataError(
            f"{index} must hold what its publisher put there, but it cannot be read: {type(error).__name__}: {error}. "
            "Restore it from the published archive."
        ) from None


def missing_files(folder: Path, names: Iterable[str]) -> tuple[str, ...]:
    """Return the paths of those ``names`` below ``folder`` that are no files."""
    return tuple(str(folder / name) for name in names if not (folder / name).is_file())
