"""What a split holds before it is decoded: names, labels, and where the pictures are."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from dfkd.data.pictures import open_picture
from dfkd.errors import DataError


def _stamp(path: Path) -> str:
    stat = path.stat()
    return f"{stat.st_size}\0{stat.st_mtime_ns}"


@dataclass(frozen=True)
class ImageFiles:
    """Pictures that are files, each named by its path below ``folder``."""

    folder: Path
    """What the names are relative to."""

    def exists(self, name: str) -> bool:
        """Return whether there is such a file."""
        return (self.folder / name).is_file()

    def content(self, name: str) -> bytes:
        """Return the bytes that identify a picture; raise DataError if they cannot be read."""
        path = self.folder / name
        try:
            return path.read_bytes()
        except OSError as error:
            raise DataError(
                f"Every image must be readable, but {path} is not: {error.strerror}. Restore the file."
            ) from None

    def picture(self, name: str, content: bytes) -> Image.Image:
        """Return the picture that ``content`` holds; raise DataError if it is damaged."""
        return open_picture(content, self.folder / name)

    def stamp(self, name: str) -> str:
        """Return a string that changes with the size and the time of the file."""
        return _stamp(self.folder / name)


@dataclass(frozen=True)
class ImageArrays:
    """Pictures that are rows of an array; the part of a name after its slash is the row: ``train/17``."""

    pixels: np.ndarray
    """uint8, (count, height, width, 3)."""
    files: tuple[Path, ...]
    """What the array was read from."""

    @cached_property
    def _files_stamp(self) -> str:
        return "\0".join(_stamp(path) for path in self.files)

    def exists(self, name: str) -> bool:
        """Return True: the rows that are listed are those of the array."""
        return True

    def content(self, name: str) -> bytes:
        """Return the bytes that identify a picture: its pixels."""
        return self.pixels[int(name.rpartition("/")[2])].tobytes()

    def picture(self, name: str, content: bytes) -> Image.Image:
        """Return the picture whose ``content`` it is."""
        height, width = self.pixels.shape[1:3]
        return Image.frombytes("RGB", (width, height), content)

    def stamp(self, name: str) -> str:
        """Return a string that changes with the size and the time of any of the files."""
        return self._files_stamp


@dataclass(frozen=True)
class Listing:
    """The images of a split, in the order of the data set's index."""

    index: Path
    """The file or folder that lists them, for messages."""
    source: ImageFiles | ImageArrays
    """Where the pictures are."""
    names: tuple[str, ...]
    """What ``source`` calls each image; they differ between the splits of a data set."""
    labels: np.ndarray
    """int64, from 0."""
    class_names: tuple[str, ...]
    """By label."""
    numbers: tuple[int, ...]
    """The data set's own class numbers, by label."""
    missing: tuple[str, ...] = ()
    """Image files that the index names, of whatever split or class, and that do not exist: as a message names them."""
