"""One way into the config tree: flat mappings from dotted keys to scalars."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from operator import attrgetter
from typing import Any

from dfkd.config import REAL_METHODS, RunConfig
from dfkd.errors import ConfigError, nearest

Scalar = bool | int | float | str


def _leaves(cls: Any) -> Iterator[str]:
    for f in fields(cls):
        if is_dataclass(f.type):
            yield from (f"{f.name}.{leaf}" for leaf in _leaves(f.type))
        else:
            yield f.name


KEYS = tuple(_leaves(RunConfig))
"""Every dotted key there is, in the order of declaration."""

_values = attrgetter(*KEYS)


def flatten(config: RunConfig) -> dict[str, Scalar]:
    """Return every leaf of the tree as ``{dotted key: value}``, in the order of declaration."""
    return dict(zip(KEYS, _values(config), strict=True))


_DEFAULTS = flatten(RunConfig())

_TYPES = {key: type(value) for key, value in _DEFAULTS.items()}
_TYPE_NAMES = {bool: "true or false", int: "an integer", float: "a number", str: "a string"}


def check_key(key: str) -> None:
    """Raise ConfigError, naming the nearest key, unless ``key`` is a leaf of the tree."""
    if key not in _TYPES:
        raise ConfigError(
            f"Every key must be a field of the run's configuration, but `{key}` is none. {nearest(key, KEYS)}"
        )


def _typed(key: str, value: object) -> Scalar:
    """Return ``value`` as the field's type. An integer may stand for a float, and nothing else is converted."""
    expected = _TYPES[key]
    if expected is float and type(value) is int:
        return float(value)
    if type(value) is not expected:
        raise ConfigError(f"`{key}` must be {_TYPE_NAMES[expected]}, but it is {value!r} ({type(value).__name__}).")
    return value


def parse_scalar(key: str, text: str) -> Scalar:
    """Return ``text``, as typed on a command line, as the type of the field ``key``."""
    check_key(key)
    expected = _TYPES[key]
    try:
        if expected is bool:
            return {"true": True, "false": False}[text.lower()]
        return expected(text)
    except (ValueError, KeyError):
        raise ConfigError(f"`{key}` must be {_TYPE_NAMES[expected]}, but it is {text!r}.") from None


def _replaced(config: Any, overrides: Mapping[str, Any]) -> Any:
    """Return a copy in which the branches of the tree that hold an overridden key are built anew, and so validated."""
    here: dict[str, Any] = {}
    below: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for key, value in overrides.items():
        name, _, rest = key.partition(".")
        if rest:
            below[name][rest] = value
        else:
            here[name] = value
    return replace(config, **here, **{name: _replaced(getattr(config, name), inner) for name, inner in below.items()})


def with_overrides(config: RunConfig, overrides: Mapping[str, object]) -> RunConfig:
    """Return ``config`` with each dotted key replaced, validated as a whole.

    All keys change at once, so an order in which a half-changed tree would be invalid cannot matter.

    Raises:
        ConfigError: an unknown key, a value of another type, or a broken rule.
    """
    for key in overrides:
        check_key(key)
    overridden: RunConfig = _replaced(config, {key: _typed(key, value) for key, value in overrides.items()})
    return overridden


def changed(config: RunConfig, prefixes: tuple[str, ...]) -> dict[str, Scalar]:
    """Return the fields under ``prefixes`` that are not at their default, so that a new field changes no name."""
    return {k: value for k, value in flatten(config).items() if k.startswith(prefixes) and value != _DEFAULTS[k]}


_SWITCHES = {
    "generator.attention.": "generator.attention.weight",
    "generator_loss.adversarial.": "generator_loss.adversarial.weight",
    "generator_loss.batch_norm.": "generator_loss.batch_norm.weight",
    "generator_loss.contrast.": "generator_loss.contrast.weight",
    "generator_loss.impressions.": "generator_loss.impressions.weight",
    "student_loss.mhad.": "student_loss.mhad.weight",
    "student_loss.sfcl.": "student_loss.sfcl.weight",
}
"""Prefix of a term's parameters, and the weight that makes them irrelevant when it is 0."""


_UNUSED_WITH_REAL_IMAGES = (
    "generator.",
    "generator_loss.",
    "synthesis.",
    "replay.",
    "student_loss.mhad.",
    "student_loss.sfcl.",
    "student_loss.attention_transfer.",
    "student_loss.distillation.weight",
    "student.normalisation_when_frozen",
    "schedule.generator_steps",
    "schedule.phases",
    "schedule.warm_up",
)
"""Prefixes of what has no effect where the student learns from real images."""


def _plays_distillation(flat: Mapping[str, Scalar]) -> bool:
    """Return whether L_KD is what the student minimises or, with its sign turned, the generator."""
    adversarial = flat["generator_loss.adversarial.weight"] != 0
    return flat["student_loss.distillation.weight"] != 0 or (
        adversarial and flat["generator_loss.adversarial.kind"] == "distillation"
    )


def _plays_divergence(flat: Mapping[str, Scalar]) -> bool:
    return _plays_distillation(flat) and flat["student_loss.distillation.kind"] == "kl"


_CONDITIONS: dict[str, Callable[[Mapping[str, Scalar]], bool]] = {
    "student_loss.distillation.kind": _plays_distillation,
    "student_loss.distillation.temperature": _plays_divergence,
    "student_loss.distillation.direction": _plays_divergence,
    "generator_loss.adversarial.temperature": lambda flat: (
        flat["generator_loss.adversarial.weight"] != 0
        and flat["generator_loss.adversarial.kind"] in ("kl", "jensen_shannon")
    ),
    "generator_loss.one_hot.labels": lambda flat: (
        flat["generator_loss.one_hot.weight"] != 0
        or flat["generator_loss.impressions.weight"] != 0
        or flat["generator.class_embedding"] != 0
    ),
    "replay.fraction": lambda flat: flat["replay.kind"] != "none",
}
"""Fields that matter in certain company alone, and when."""

_KINDS = {
    "generator.": ("synthesis.kind", ("generator", "generator_and_noise")),
    "synthesis.noise.": ("synthesis.kind", ("generator_and_noise",)),
    "synthesis.images.": ("synthesis.kind", ("images",)),
    "replay.momentum": ("replay.kind", ("generator",)),
    "replay.capacity": ("replay.kind", ("images",)),
    "replay.crop_padding": ("replay.kind", ("images",)),
    "replay.autoencoder.": ("replay.kind", ("autoencoder",)),
}
"""Prefix of what has an effect with some kinds of synthesis or replay alone, the field that says which, and those
kinds."""


def has_effect(key: str, flat: Mapping[str, Scalar]) -> bool:
    """Return whether the field moves a result, given all the others."""
    if flat["method"] in REAL_METHODS:
        if flat["method"] == "scratch" and key.startswith("student_loss."):
            return False
        # The crop of the real images is that of the teacher's training.
        if key == "teacher.crop_padding":
            return flat["teacher.crop"] != "resized"
        return key == "teacher.crop" or not key.startswith(("teacher.", *_UNUSED_WITH_REAL_IMAGES))
    if key in _CONDITIONS:
        return _CONDITIONS[key](flat)
    if any(key.startswith(prefix) and flat[field] not in kinds for prefix, (field, kinds) in _KINDS.items()):
        return False
    off = (key.startswith(prefix) and key != switch and flat[switch] == 0 for prefix, switch in _SWITCHES.items())
    return not key.startswith("teacher.") and not any(off)


def canonical(config: RunConfig) -> dict[str, Scalar]:
    """Return what identifies a run: the fields that are not at their default and that have an effect.

    A parameter of a term whose weight is 0 has none, nor has the generator where the images are real. The teacher's
    recipe is left out, because the hash of its weights says more. A new option at its default therefore does not orphan
    old runs.
    """
    flat = flatten(config)
    return {key: flat[key] for key in sorted(flat) if flat[key] != _DEFAULTS[key] and has_effect(key, flat)}
