"""The loss terms, one concept a file: pure functions of tensors."""

from dfkd.losses.attention_transfer import attention_transfer as attention_transfer
from dfkd.losses.batch_norm import RememberedStatistics as RememberedStatistics
from dfkd.losses.batch_norm import batch_norm_statistics as batch_norm_statistics
from dfkd.losses.competition import jensen_shannon as jensen_shannon
from dfkd.losses.contrastive import semantic_contrast as semantic_contrast
from dfkd.losses.data_impressions import class_similarity as class_similarity
from dfkd.losses.data_impressions import draw_targets as draw_targets
from dfkd.losses.data_impressions import soft_cross_entropy as soft_cross_entropy
from dfkd.losses.distances import agreeing as agreeing
from dfkd.losses.distances import discrepancy as discrepancy
from dfkd.losses.distillation import soft_target_kl as soft_target_kl
from dfkd.losses.high_order import attention_distance as attention_distance
from dfkd.losses.instance_contrast import instance_contrast as instance_contrast
from dfkd.losses.labels import activation as activation
from dfkd.losses.labels import class_balance as class_balance
from dfkd.losses.labels import one_hot as one_hot
from dfkd.losses.pixel_norm import pixel_norm as pixel_norm
from dfkd.losses.total_variation import total_variation as total_variation
