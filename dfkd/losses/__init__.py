"""The loss terms, one concept a file: pure functions of tensors."""

from dfkd.losses.batch_norm import batch_norm_statistics as batch_norm_statistics
from dfkd.losses.contrastive import semantic_contrast as semantic_contrast
from dfkd.losses.distillation import soft_target_kl as soft_target_kl
from dfkd.losses.high_order import attention_distance as attention_distance
