"""How learning rates fall."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler


def constant(step: int) -> float:
    """Return the factor of a learning rate that never falls."""
    return 1.0


def cosine_schedule(optimizer: Optimizer, steps: int) -> LRScheduler:
    """Return the schedule that lets the learning rate fall to zero along half a cosine (section 5.1)."""
    return CosineAnnealingLR(optimizer, T_max=steps)
