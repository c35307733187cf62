"""Data sets: a registry, and loading with a cache of the decoded test images."""

from dfkd.data.datasets import DATASETS as DATASETS
from dfkd.data.datasets import dataset_spec as dataset_spec
from dfkd.data.images import DatasetSpec as DatasetSpec
from dfkd.data.images import ImageSet as ImageSet
