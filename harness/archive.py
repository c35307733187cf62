"""A store in one file, and such a file merged into a store: to bring two machines' runs together.

The archive is a tar file. Its first member, manifest.json, names every other one with its SHA-256.
"""

import gzip
import hashlib
import io
import json
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from dfkd.errors import CheckpointError
from dfkd.files import atomic_path
from dfkd.teacher import describe_teacher
from harness.leases import this_machine
from harness.plan import digest
from harness.records import FORMAT, STATE_FILES, read_json, read_log, read_plan
from harness.store import CellBusyError, Store, StoreError

PARTS = ("plans", "cells", "teachers", "studies")
"""Folders of a store that an archive may hold."""

ENDS = ("result.json", "diverged.json")
"""Files of which one says that a cell has ended; in a cell that is put together it comes last."""

UNFINISHED = (*STATE_FILES, "training.json")
"""Files of an unfinished cell, which are carried where asked for."""

CHECKPOINTS = ("student.pt", "networks.pt", *UNFINISHED)
"""Files of a cell that are carried where asked for."""

SAME = ("last", "best_on_test", "best_epoch", "final_mean", "final_sd", "final_epochs", "validation_last")
"""Entries of two results that must agree for them to be one; the rest is time and machine."""

_LEFT = {"lease", "holders", "failure.json", "failures.jsonl", "state.damaged.pt"}


RECORDS = ("config.json", "log.jsonl", *ENDS)
"""Files of a cell that tables are made from."""


def export_store(store: Store, file: Path, *, checkpoints: bool = False, records: bool = False) -> dict[str, int]:
    """Write plans, teachers, studies and cells to ``file``, gzipped if its name ends in gz; return how many of each.

    Of the cells, those that have ended; with ``checkpoints`` also their students, and unfinished cells at rest. With
    ``records`` plans, studies and ``RECORDS`` alone, and the same records give the same bytes.
    """
    found = _records(store) if records else _members(store, checkpoints=checkpoints)
    members = {path.relative_to(store.root).as_posix(): path for path in found}
    files = {name: _sha256(path) for name, path in members.items()}
    machine = {} if records else {"machine": this_machine()}
    manifest = json.dumps({"format": FORMAT, **machine, "files": files}, indent=1).encode()
    with atomic_path(file) as part, part.open("wb") as raw, ExitStack() as stack:
        packed: IO[bytes] = raw
        if file.suffix in (".gz", ".tgz"):
            compressed = gzip.GzipFile("", "wb", fileobj=raw, mtime=0 if records else None)
            packed = cast(IO[bytes], stack.enter_context(compressed))
        archive = stack.enter_context(tarfile.open(fileobj=packed, mode="w"))
        head = tarfile.TarInfo("manifest.json")
        head.size = len(manifest)
        archive.addfile(head, io.BytesIO(manifest))
        for name, path in members.items():
            archive.add(path, name, recursive=False, filter=_unsigned if records else None)
    return {part: len({PurePosixPath(name).parts[1] for name in files if name.startswith(part)}) for part in PARTS}


def _unsigned(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Return an archive's member without its owner, its times and its rights."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o644
    return member


def _records(store: Store) -> Iterator[Path]:
    for pattern in ("plans/*.json", "studies/*/*"):
        yield from (path for path in sorted(store.root.glob(pattern)) if _is_carried(path))
    for folder in sorted(store.root.glob("cells/*/")):
        if any((folder / name).exists() for name in ENDS):
            yield from (folder / name for name in RECORDS if (folder / name).exists())


def _members(store: Store, *, checkpoints: bool) -> Iterator[Path]:
    for pattern in ("plans/*.json", "teachers/*/*", "studies/*/*"):
        yield from (path for path in sorted(store.root.glob(pattern)) if _is_carried(path))
    for folder in sorted(store.root.glob("cells/*/")):
        ended = any((folder / name).exists() for name in ENDS)
        under_way = checkpoints and (folder / "state.pt").exists() and not store.is_held(folder.name)
        if not ended and not under_way:
            continue
        for path in sorted(folder.rglob("*")):
            if not _is_carried(path) or (path.name in UNFINISHED and ended):
                continue
            if checkpoints or path.name not in CHECKPOINTS:
                yield path


def _is_carried(path: Path) -> bool:
    hidden = path.name.startswith(".") or path.suffix == ".part" or path.name.endswith(".lock")
    return path.is_file() and not path.is_symlink() and not hidden and not _LEFT & {path.name, path.parent.name}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass
class Merged:
    """What became of an archive's contents."""

    new: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PARTS, 0))
    """How many were taken in."""
    same: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PARTS, 0))
    """How many were there already."""
    conflicts: list[str] = field(default_factory=list)
    """What was left as it is here, each in a sentence."""


def import_store(store: Store, file: Path) -> Merged:
    """Merge an archive into the store. Nothing that is here is overwritten, but for unfinished cells by finished ones.

    Raises:
        StoreError: the file is no whole archive of ours, or holds what an archive may not hold. Nothing was taken in.
    """
    for former in store.root.glob(".import-*"):
        shutil.rmtree(former)  # of an import that was killed
    with tempfile.TemporaryDirectory(prefix=".import-", dir=store.root) as scratch:
        staged = Store(Path(scratch))
        _unpack(file, staged.root)
        merged = Merged()
        for folder in sorted(staged.root.glob("teachers/*/")):
            _merge_teacher(store, folder, merged)
        for folder in sorted(staged.root.glob("cells/*/")):
            _merge_cell(store, folder, merged)
        for path in sorted(staged.root.glob("plans/*.json")):
            _merge_plan(store, path, merged)
        for folder in sorted(staged.root.glob("studies/*/")):
            _merge_study(store, folder, merged)
    return merged


def _unpack(file: Path, into: Path) -> None:
    """Extract a whole and harmless archive: plain files below ``PARTS`` that the manifest names, of their hashes."""
    rule = f"An archive must be one that `dfkd export-store` wrote, whole and unchanged, but {file}"
    try:
        with tarfile.open(file) as archive:
            first = archive.next()
            if first is None or first.name != "manifest.json" or not first.isreg():
                raise StoreError(f"{rule} does not begin with a manifest. Export it again.")
            read = archive.extractfile(first)
            assert read is not None
            manifest = json.loads(read.read())
            if manifest["format"] > FORMAT:
                raise StoreError(
                    f"{rule} is of format {manifest['format']} and this version knows {FORMAT}. Install a newer dfkd."
                )
            expected: Mapping[str, str] = manifest["files"]
            while (member := archive.next()) is not None:
                if not member.isreg() or member.name not in expected or not _is_harmless(member.name):
                    raise StoreError(f"{rule} holds {member.name!r}, which has no place there. Nothing was taken in.")
                archive.extract(member, into, filter="data")
    except (tarfile.TarError, OSError, EOFError, ValueError, KeyError) as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"{rule} cannot be read: {error}. Export or copy it again.") from None
    for name, sha256 in expected.items():
        path = into / name
        if not path.is_file() or _sha256(path) != sha256:
            raise StoreError(f"{rule} has lost or changed {name}. Export or copy it again; nothing was taken in.")


def _is_harmless(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return len(parts) > 1 and parts[0] in PARTS and ".." not in parts and not _LEFT & set(parts)


def _merge_teacher(store: Store, folder: Path, merged: Merged) -> None:
    here = store.root / "teachers" / folder.name
    if not (here / "teacher.pt").exists():
        _move_all(folder, here, last="teacher.pt")
        merged.new["teachers"] += 1
        return
    try:
        hashes = [describe_teacher(each / "teacher.pt").get("hash") for each in (here, folder)]
    except CheckpointError as error:
        merged.conflicts.append(f"teacher {folder.name}: {error}")
        return
    if hashes[0] == hashes[1]:
        merged.same["teachers"] += 1
    else:
        merged.conflicts.append(
            f"teacher {folder.name}: the weights differ (here {str(hashes[0])[:16]}, in the archive "
            f"{str(hashes[1])[:16]}); the one here stays, and cells of the other are cells of their own."
        )


def _merge_cell(store: Store, folder: Path, merged: Merged) -> None:
    cell_id = folder.name
    wrong = _wrong_identity(folder)
    if wrong:
        merged.conflicts.append(f"cell {cell_id}: left out, because {wrong}.")
        return
    theirs, ours = Store(folder.parent.parent).read(cell_id), store.read(cell_id)
    if ours.ended:
        different = ours.status != theirs.status or _summary(ours.result) != _summary(theirs.result)
        if theirs.ended and different:
            merged.conflicts.append(
                f"cell {cell_id}: two results, here {_shown(ours.result)} and in the archive {_shown(theirs.result)}; "
                "the one here stays."
            )
        else:
            merged.same["cells"] += 1
        return
    if not theirs.ended and ours.epochs_done >= theirs.epochs_done:
        merged.same["cells"] += 1
        return
    try:
        with store.lease(cell_id, patience=0):
            for name in ("log.jsonl", *STATE_FILES, "training.json", "failure.json", "failures.jsonl"):
                (store.cell(cell_id) / name).unlink(missing_ok=True)
            ending = next((name for name in ENDS if (folder / name).exists()), "state.pt")
            _move_all(folder, store.cell(cell_id), last=ending)
        merged.new["cells"] += 1
    except CellBusyError as error:
        merged.conflicts.append(f"cell {cell_id}: left out. {error}")


def _wrong_identity(folder: Path) -> str | None:
    """Return what is wrong with a cell's configuration or log; None if its id is the hash of what it was made from."""
    content = read_json(folder / "config.json")
    if content is None:
        return "it has no config.json"
    try:
        shown = [content["train_fingerprint"]] if content.get("train_fingerprint") else []
        made_from = (content["canonical"], content["teacher_hash"], content["test_fingerprint"], content["numerics"])
        if digest([*made_from, *shown]) != folder.name:
            return "its id is not the hash of its configuration"
        changed = [key for key, value in content["canonical"].items() if content["config"].get(key) != value]
        if changed:
            return f"its configuration contradicts its identity in {', '.join(changed)}"
        read_log(folder)
    except (KeyError, ValueError) as error:
        return f"its files are damaged ({type(error).__name__}: {error})"
    return None


def _summary(result: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if result is None else {key: result.get(key) for key in SAME}


def _shown(result: Mapping[str, Any] | None) -> str:
    return "diverged" if result is None else f"{100 * result['last']:.2f} %"


def _merge_plan(store: Store, path: Path, merged: Merged) -> None:
    here, theirs = store.root / "plans" / path.name, read_plan(path)
    ours = read_plan(here)
    if ours is None:
        here.parent.mkdir(exist_ok=True)
        path.replace(here)
        merged.new["plans"] += 1
    elif theirs is not None and ours.cells != theirs.cells:
        merged.conflicts.append(
            f"plan {ours.grid} ({ours.key}): its cells differ, as they do with another teacher; the one here stays."
        )
    else:
        merged.same["plans"] += 1


def _merge_study(store: Store, folder: Path, merged: Merged) -> None:
    here = store.root / "studies" / folder.name
    if not (here / "journal.log").exists():
        _move_all(folder, here, last="journal.log")
        merged.new["studies"] += 1
    elif _sha256(here / "journal.log") == _sha256(folder / "journal.log"):
        merged.same["studies"] += 1
    else:
        merged.conflicts.append(
            f"study {folder.name}: two histories, and the one here stays; its next `dfkd search` takes over every "
            "finished cell that came in."
        )


def _move_all(source: Path, target: Path, *, last: str) -> None:
    """Move the files below ``source``; the one named ``last`` comes last, so that half a move looks like none."""
    paths = [path for path in sorted(source.rglob("*")) if path.is_file()]
    for path in sorted(paths, key=lambda path: path.relative_to(source).as_posix() == last):
        there = target / path.relative_to(source)
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, there)
