"""Networks: the classifiers, the generator, and the modules that are trained beside the student."""

from dfkd.models.classifier import Classifier as Classifier
from dfkd.models.classifiers import MODELS as MODELS
from dfkd.models.classifiers import build_classifier as build_classifier
