"""Networks: the classifiers, the generator, and the modules that are trained beside the student.

``MODELS`` and ``build_classifier`` are imported when they are first asked for (PEP 562): torchvision, which they build
on, takes seconds to import, and a plan without open cells needs no network.
"""

from typing import TYPE_CHECKING

from dfkd.models.classifier import Classifier as Classifier

if TYPE_CHECKING:
    from dfkd.models.classifiers import MODELS as MODELS
    from dfkd.models.classifiers import build_classifier as build_classifier


def __getattr__(name: str) -> object:
    if name not in ("MODELS", "build_classifier"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from dfkd.models import classifiers

    return getattr(classifiers, name)
