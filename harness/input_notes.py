"""What was found out about images and teacher, noted in the store, so that planning need load neither of them again.

<store>/cache/inputs/<key>.json

The key is made of everything that the note depends on: what the configurations say of images and teacher, the names,
sizes and times of the images' files, and those of the teacher's checkpoint. So a note is never wrong, only not found
any more; it can be deleted at any time. Commands that load and check everything write it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dfkd import NUMERICS
from dfkd.config import RunConfig
from dfkd.overrides import flatten
from harness.plan import digest
from harness.records import read_json, write_json
from harness.store import Store

BUNDLED = {"digits": "scikit-learn"}
"""Data sets that come with a package and change with its version alone: they are signed without importing PyTorch."""


@dataclass(frozen=True)
class TeacherFacts:
    """What a plan says of a teacher, as ``dfkd.teacher.Teacher`` does."""

    hash: str
    test_accuracy: float
    origin: str | None


@dataclass(frozen=True)
class Facts:
    """What a plan must know of the images and the teacher of a column."""

    title: str
    """Of the data set, as a table prints it."""
    class_names: tuple[str, ...]
    """By label."""
    test_fingerprint: str
    """Of the test images."""
    train_fingerprint: str | None
    """Of the training images, if a row learns from them."""
    teacher: TeacherFacts | None
    """None if it is not trained yet."""


def noted(rows: Sequence[RunConfig], path: Path, *, store: Store, data_root: Path | None) -> Facts | None:
    """Return what was noted of the images and of the teacher in ``path``, if neither has changed since; else None.

    Raises:
        DataError: the data set is missing or incomplete.
    """
    key = _key(rows, path, data_root)
    try:
        content = read_json(_place(store, key)) if key else None
        return _facts_of(content) if content else None
    except (ValueError, KeyError, TypeError):  # a damaged note is none
        return None


def note(facts: Facts, rows: Sequence[RunConfig], path: Path, *, store: Store, data_root: Path | None) -> None:
    """Note what was found out; nothing while there is no teacher."""
    if facts.teacher and (key := _key(rows, path, data_root)):
        write_json(_place(store, key), asdict(facts))


def _facts_of(content: Mapping[str, Any]) -> Facts:
    own = {"class_names": tuple(content["class_names"]), "teacher": TeacherFacts(**content["teacher"])}
    return Facts(**{**content, **own})


def _place(store: Store, key: str) -> Path:
    return store.cache / "inputs" / f"{key}.json"


def _key(rows: Sequence[RunConfig], path: Path, data_root: Path | None) -> str | None:
    """Return what a note is called; None where there is no teacher."""
    try:
        file = path.stat()
    except OSError:
        return None
    config, real = rows[0], any(row.learns_from_real_images for row in rows)
    asked = {key: value for key, value in flatten(config).items() if key.startswith(("data.", "teacher."))}
    checkpoint = [str(path.resolve()), file.st_ino, file.st_size, file.st_mtime_ns]
    return digest([NUMERICS, asked, real, checkpoint, _signatures(config, data_root, real=real)])


def _signatures(config: RunConfig, data_root: Path | None, *, real: bool) -> list[Any]:
    """Return what changes with the files of the splits that the rows need."""
    if package := BUNDLED.get(config.data.dataset):
        return [package, version(package)]
    from dfkd.data import dataset_spec  # here, because PyTorch takes a second to import

    sign = dataset_spec(config.data.dataset).sign
    signed = [sign(replace(config.data, validation_fraction=0.0), root=data_root, split="test")]
    if config.data.validation_fraction > 0:
        signed.append(sign(config.data, root=data_root, split="validation"))
    return [*signed, *([sign(config.data, root=data_root, split="train")] if real else [])]
