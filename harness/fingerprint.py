"""A fingerprint of the trainer's code that a cell uses: two equal ones mean that the cell would be trained the same.

Comments, docstrings and formatting do not enter it; nor do networks, data sets and loss terms that the cell does not
use. The sources are read once, when this module is imported: what a process goes on to run is what it imported then,
whatever becomes of the files.
"""

import ast
import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import dfkd
from dfkd.config import REAL_METHODS

ROOT = "dfkd.loop"
"""Where a cell's training begins; what it imports, and what that imports, is what the cell uses."""

LEFT_OUT = frozenset(
    {
        "dfkd",  # NUMERICS, which is part of the identity, and names for Python
        "dfkd.config",  # a cell's values are in its config.json, and a test holds the defaults
        "dfkd.overrides",
        "dfkd.errors",
        "dfkd.files",
        "dfkd.monitor",
        "dfkd.allocation",
        "dfkd.compiled",  # another engine moves last digits at most, which tests of parity hold
        "dfkd.recomputation",  # the same bits
        "dfkd.teacher",  # the hash of its weights is part of the identity
        "dfkd.pretrained",
        "dfkd.stage_attention",
        "dfkd.data.sources",
    }
)
"""Modules that cannot move a cell's numbers, or whose effect is part of its identity."""

REGISTRIES = {
    "dfkd.models.classifiers": ("MODELS", ("teacher.architecture", "student.architecture")),
    "dfkd.data.datasets": ("DATASETS", ("data.dataset",)),
    "dfkd.synthesis.kinds": ("KINDS", ("synthesis.kind",)),
    "dfkd.replay.kinds": ("KINDS", ("replay.kind",)),
}
"""Modules with a dict of which a cell uses the entries that these fields name; the other entries, and what only they
import, are not the cell's."""

TERMS = {
    "dfkd.losses.attention_transfer": "student_loss.attention_transfer.weight",
    "dfkd.losses.batch_norm": "generator_loss.batch_norm.weight",
    "dfkd.losses.competition": "generator_loss.adversarial.weight",
    "dfkd.losses.contrastive": "student_loss.sfcl.weight",
    "dfkd.losses.data_impressions": "generator_loss.impressions.weight",
    "dfkd.losses.high_order": "student_loss.mhad.weight",
    "dfkd.losses.instance_contrast": "generator_loss.contrast.weight",
    "dfkd.losses.pixel_norm": "generator_loss.pixel_norm.weight",
    "dfkd.losses.total_variation": "generator_loss.total_variation.weight",
    "dfkd.models.high_order": "student_loss.mhad.weight",
    "dfkd.models.stages": "student_loss.mhad.weight",
    "dfkd.synthesis.contrast": "generator_loss.contrast.weight",
}
"""Modules of one loss term, and the weight that makes them irrelevant when it is 0."""

REAL = ("dfkd.real", "dfkd.real_batches", "dfkd.crops", "dfkd.data.whole")
"""Modules of methods that learn from real images alone."""

DATA_FREE = (
    *("dfkd.models.generator", "dfkd.models.auxiliary", "dfkd.models.taps", "dfkd.passes"),
    *("dfkd.synthesis.kinds", "dfkd.synthesis.interface", "dfkd.synthesis.terms", "dfkd.synthesis.generator"),
    *("dfkd.synthesis.latents", "dfkd.replay.kinds", "dfkd.replay.interface", "dfkd.replay.generator"),
    *("dfkd.replay.autoencoder", "dfkd.models.encoder"),
    *TERMS,
)
"""Modules of data-free methods alone."""

DIGITS = 16

_DECISIVE = ("method", *(field for _, fields in REGISTRIES.values() for field in fields), *sorted(set(TERMS.values())))


def read_sources(folder: Path) -> dict[str, str]:
    """Return the source of every module of the package in ``folder``, by its dotted name."""
    sources = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        sources[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text(encoding="utf-8")
    return sources


SOURCES: Mapping[str, str] = MappingProxyType(read_sources(Path(dfkd.__path__[0])))
"""Of the trainer, as this process imported it."""


def _skeleton(node: Any) -> str:
    """Return a tree as text, without docstrings and the strings below fields, the same in every version of Python.

    ``ast.dump`` is not: what a version has no use for it may leave out or not.
    """
    if isinstance(node, list):
        return "[" + ",".join(_skeleton(each) for each in node if not _is_text(each)) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = (f"{name}={_skeleton(value)}" for name, value in ast.iter_fields(node) if value not in (None, []))
    return f"{type(node).__name__}({','.join(fields)})"


def _is_text(node: Any) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _keep_entries(tree: ast.Module, registry: str, keys: frozenset[str]) -> None:
    """Leave in ``tree`` of the dict ``registry`` the entries ``keys``, and of the imports what is then named."""
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name) and target.id == registry:
                pairs = zip(node.value.keys, node.value.values, strict=True)
                kept = [(key, value) for key, value in pairs if isinstance(key, ast.Constant) and key.value in keys]
                node.value.keys, node.value.values = [key for key, _ in kept], [value for _, value in kept]
    named = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            node.names = [alias for alias in node.names if (alias.asname or alias.name) in named]
    tree.body = [node for node in tree.body if not isinstance(node, ast.Import | ast.ImportFrom) or node.names]


@lru_cache(maxsize=1024)
def _read(source: str, registry: str, keys: frozenset[str]) -> tuple[str, tuple[str, ...]]:
    """Return the hash of a module and the dotted names that it imports; of a ``registry`` only the entries ``keys``."""
    tree = ast.parse(source)
    if registry:
        _keep_entries(tree, registry, keys)
    imported: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported += (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))
    return hashlib.sha256(_skeleton(tree).encode()).hexdigest(), tuple(imported)


def _unused(config: Mapping[str, Any]) -> set[str]:
    """Return the modules that such a cell imports without using them."""
    if config["method"] in REAL_METHODS:
        return set(DATA_FREE)
    return {*REAL, *(module for module, weight in TERMS.items() if config[weight] == 0)}


def modules_of(config: Mapping[str, Any], sources: Mapping[str, str] = SOURCES) -> dict[str, str]:
    """Return the modules of the trainer that a cell of the flat configuration ``config`` uses, with their hashes.

    Packages are followed to what they import, and are not in it themselves.
    """
    packages = {name.rpartition(".")[0] for name in sources}
    done = {name for name in sources if name in LEFT_OUT or name.startswith("dfkd.config.")} | _unused(config)
    found: dict[str, str] = {}
    to_do = [ROOT]
    while to_do:
        name = to_do.pop()
        if name in done or name not in sources:
            continue
        done.add(name)
        registry, fields = REGISTRIES.get(name, ("", ()))
        found[name], imported = _read(sources[name], registry, frozenset(config[field] for field in fields))
        to_do += imported
    return {name: found[name] for name in sorted(found) if name not in packages}


def fingerprint(config: Mapping[str, Any], sources: Mapping[str, str] = SOURCES) -> str:
    """Return ``DIGITS`` hexadecimal digits of a hash of the modules that a cell of this flat configuration uses."""
    kind = tuple((key, config[key] > 0 if key.endswith(".weight") else config[key]) for key in _DECISIVE)
    return _of_kind(kind) if sources is SOURCES else _hash(dict(kind), sources)


@lru_cache(maxsize=1024)
def _of_kind(kind: tuple[tuple[str, Any], ...]) -> str:
    return _hash(dict(kind), SOURCES)


def _hash(config: Mapping[str, Any], sources: Mapping[str, str]) -> str:
    return hashlib.sha256(repr(modules_of(config, sources)).encode()).hexdigest()[:DIGITS]
