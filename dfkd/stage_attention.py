"""Attention on a teacher's stages that its owner trains with the real images, for the teacher's side of L_MHAD."""

import torch
from torch import nn
from torch.nn import functional as F

from dfkd.config import RunConfig, parse_orders
from dfkd.data import TrainingImages
from dfkd.evaluation import autocast, place
from dfkd.models import Classifier
from dfkd.models.high_order import HighOrderAttention, StageAttention
from dfkd.models.taps import tap_features
from dfkd.randomness import generator, stream
from dfkd.real_batches import epoch_batches

LEARNING_RATE = 1e-3
"""Of Adam."""


def train_stage_attention(
    config: RunConfig, classifier: Classifier, *, train: TrainingImages, device: torch.device
) -> StageAttention:
    """Train an attention for each stage of a trained teacher, which stays as it is; return them, on the CPU.

    A stage's attended map A_m x F, averaged over its positions, is to tell the class through a linear layer, which is
    then dropped: one reading of what the paper leaves open, who trains the teacher's side of its attention
    (docs/departures.md). The sum of the stages' cross-entropies, by Adam.
    """
    settings = config.teacher
    orders = parse_orders(settings.attention)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(settings.seed, "teacher.attention.weights"))
        attentions = nn.ModuleList(
            HighOrderAttention(channels, orders=orders, reduction=settings.attention_reduction)
            for channels in classifier.stage_channels
        )
        heads = nn.ModuleList(nn.Linear(channels, len(train.class_names)) for channels in classifier.stage_channels)
    place(attentions, config.compute, device)
    place(heads, config.compute, device)
    place(classifier.network, config.compute, device).eval()
    optimizer = torch.optim.Adam([*attentions.parameters(), *heads.parameters()], LEARNING_RATE)
    order = generator(settings.seed, "teacher.attention.order")
    augmentation = generator(settings.seed, "teacher.attention.augmentation")
    train = train.to(device)
    for _ in range(settings.attention_epochs):
        for images, labels in epoch_batches(
            config, train, size=settings.batch_size, order=order, augmentation=augmentation
        ):
            with autocast(config.compute, device):
                with torch.no_grad(), tap_features(classifier, enabled=True) as features:
                    classifier.network(images)
                logits = [
                    head(attend(x).mean(dim=(2, 3)))
                    for head, attend, x in zip(heads, attentions, features.stages, strict=True)
                ]
            optimizer.zero_grad(set_to_none=True)
            torch.stack([F.cross_entropy(each.float(), labels) for each in logits]).sum().backward()
            optimizer.step()
    state = {name: value.detach().cpu().contiguous() for name, value in attentions.state_dict().items()}
    return StageAttention(settings.attention, settings.attention_reduction, state)
