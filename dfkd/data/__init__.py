"""Data sets: a registry, and what reads, checks and downloads them."""

from dfkd.data.datasets import DATASETS as DATASETS
from dfkd.data.datasets import dataset_spec as dataset_spec
from dfkd.data.images import DatasetSpec as DatasetSpec
from dfkd.data.images import ImageSet as ImageSet
from dfkd.data.images import TrainingImages as TrainingImages
from dfkd.data.whole import PictureSet as PictureSet
