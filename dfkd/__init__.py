"""The trainer: data-free knowledge distillation as a generator of metrics.

``distill(config, ...)`` yields one record of metrics per epoch and knows nothing of who asked for it. Importing
``dfkd`` or ``dfkd.config`` does not import torch, so that a command line can plan without it: the names in ``__all__``
are imported when they are first asked for (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dfkd.config import RunConfig as RunConfig
    from dfkd.data import dataset_spec as dataset_spec
    from dfkd.loop import distill as distill
    from dfkd.overrides import with_overrides as with_overrides
    from dfkd.teacher import load_teacher as load_teacher
    from dfkd.teacher import train_teacher as train_teacher

__version__ = "0.1.0"

NUMERICS = 3
"""Raised by any change to the trainer that moves a number, and noted in CHANGELOG.md. It is part of every cell's
identity, so raising it makes the harness run every cell again."""

_HOMES = {
    "RunConfig": "dfkd.config",
    "dataset_spec": "dfkd.data",
    "distill": "dfkd.loop",
    "load_teacher": "dfkd.teacher",
    "train_teacher": "dfkd.teacher",
    "with_overrides": "dfkd.overrides",
}

__all__ = ["NUMERICS", "RunConfig", "dataset_spec", "distill", "load_teacher", "train_teacher", "with_overrides"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
