"""Looking a data root through: what is counted, missing, damaged, or in two splits at once."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dfkd.config import DataConfig
from dfkd.data.datasets import dataset_spec
from dfkd.data.listing import Listing
from dfkd.data.sources import SOURCES
from dfkd.data.validation import Split
from dfkd.errors import DataError

Track = Callable[[Sequence[str], str], Iterable[str]]
"""Passes names on one by one as they are dealt with, as ``rich.progress.track`` does; the text says of what split."""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a data root."""

    kind: str
    """``missing file``, ``unreadable image``, ``class without images``, ``in two splits``, ``duplicate`` or ``not as
    published``."""
    split: str
    """Where it was found."""
    what: str
    """Which file or class."""


@dataclass(frozen=True)
class DataReport:
    """What there is in a data root."""

    counts: Mapping[Split, Mapping[str, int]]
    """Images by class name, by split; images that are missing or damaged are counted too."""
    findings: tuple[Finding, ...]
    """Nothing, if all is well."""
    note: str | None
    """How its size compares with the published one; None where it differs, which is a finding, or none is published."""


def check_data(config: DataConfig, *, root: Path | None, track: Track) -> DataReport:
    """Return what is in the data set of ``config`` and what is wrong with it; every image is decoded.

    Two images are duplicates if their pixels are the same, whatever their files are called; only those in two splits
    count. The validation split is looked at where ``data.validation_fraction`` keeps one aside.

    Numbers of images and classes are compared with the published ones. Fewer classes than published, chosen by
    ``data.classes`` or not, are a subset: a note says so, and images are not counted against it.

    Raises:
        DataError: there is nothing to look at: no data root, an index file that is missing or unreadable, or classes
            that do not exist.
    """
    spec = dataset_spec(config.dataset)
    splits: tuple[Split, ...] = ("train", "validation", "test") if config.validation_fraction else ("train", "test")
    listings = {split: spec.list_split(config, root=root, split=split) for split in splits}
    counts: dict[Split, dict[str, int]] = {}
    findings: dict[Finding, None] = {}  # without repetition: one index may serve several splits
    pixels: dict[str, tuple[Split, str]] = {}
    places: dict[str, Split] = {}
    for split, listing in listings.items():
        labels = listing.labels.tolist()
        counts[split] = {name: labels.count(label) for label, name in enumerate(listing.class_names)}
        for path in listing.missing:
            findings[Finding("missing file", "", path.rstrip(","))] = None
        for name, count in counts[split].items():
            if not count:
                findings[Finding("class without images", split, name)] = None
        for name in track(listing.names, f"{split} images"):
            other = places.setdefault(name, split)
            if other != split:
                findings[Finding("in two splits", split, f"{name} is in {other} too")] = None
                continue
            if not listing.source.exists(name):
                continue
            try:
                digest = _pixel_hash(listing, name)
            except DataError as error:
                findings[Finding("unreadable image", split, str(error))] = None
                continue
            twin_split, twin = pixels.setdefault(digest, (split, name))
            if twin_split != split:
                findings[Finding("duplicate", split, f"{name} shows the same pixels as {twin} in {twin_split}")] = None
    differences, note = _compare_sizes(config, counts)
    return DataReport(counts, (*findings, *differences), note)


def _compare_sizes(config: DataConfig, counts: Mapping[Split, Mapping[str, int]]) -> tuple[list[Finding], str | None]:
    """Return what differs from the published size, and otherwise a note."""
    size = SOURCES[config.dataset].size if config.dataset in SOURCES else None
    if size is None:
        return [], None
    classes = len(counts["test"])
    if config.classes != "all" or classes < size.classes:
        how = "chosen" if config.classes != "all" else "here, a subset of the data set"
        return [], f"{classes} of the {size.classes} published classes are {how}: numbers of images are not compared."
    found = {split: sum(by_class.values()) for split, by_class in counts.items()}
    rows = (
        ("train", "training images", size.train, found["train"] + found.get("validation", 0)),
        ("test", "test images", size.test, found["test"]),
        ("", "classes", size.classes, classes),
    )
    differences = [
        Finding("not as published", split, f"expected {published:,} {what}, found {present:,}")
        for split, what, published, present in rows
        if published != present
    ]
    if differences:
        return differences, None
    listed = " and ".join(f"{published:,} {what}" for _, what, published, _ in rows[:2])
    return [], f"{listed} in {classes} classes, as published."


def _pixel_hash(listing: Listing, name: str) -> str:
    picture = listing.source.picture(name, listing.source.content(name))
    return hashlib.sha256(repr(picture.size).encode() + picture.tobytes()).hexdigest()
