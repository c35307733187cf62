"""Looking a data root through: what is counted, missing, damaged, or in two splits at once."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dfkd.config import DataConfig
from dfkd.data.datasets import dataset_spec
from dfkd.data.listing import Listing
from dfkd.data.validation import Split
from dfkd.errors import DataError

Track = Callable[[Sequence[str], str], Iterable[str]]
"""Passes names on one by one as they are dealt with, as ``rich.progress.track`` does; the text says of what split."""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a data root."""

    kind: str
    """``missing file``, ``unreadable image``, ``class without images``, ``in two splits`` or ``duplicate``."""
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


def check_data(config: DataConfig, *, root: Path | None, track: Track) -> DataReport:
    """Return what is in the data set of ``config`` and what is wrong with it; every image is decoded.

    Two images are duplicates if their pixels are the same, whatever their files are called; only those in two splits
    count. The validation split is looked at where ``data.validation_fraction`` keeps one aside.

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
    return DataReport(counts, tuple(findings))


def _pixel_hash(listing: Listing, name: str) -> str:
    picture = listing.source.picture(name, listing.source.content(name))
    return hashlib.sha256(repr(picture.size).encode() + picture.tobytes()).hexdigest()
