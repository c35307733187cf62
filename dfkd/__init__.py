"""The trainer: data-free knowledge distillation as a generator of metrics.

``distill(config, ...)`` yields one record of metrics per epoch and knows nothing of who asked for it. Importing
``dfkd`` or ``dfkd.config`` does not import torch, so that a command line can plan without it.
"""

__version__ = "0.1.0"

NUMERICS = 2
"""Raised by any change to the trainer that moves a number, and noted in CHANGELOG.md. It is part of every cell's
identity, so raising it makes the harness run every cell again."""
