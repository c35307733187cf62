"""What the teacher's answers to synthetic images should look like: one class each, all classes alike."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F


def one_hot(
    teacher_logits: Float[Tensor, "batch classes"], labels: Int[Tensor, " batch"] | None = None
) -> Float[Tensor, ""]:
    """Return the cross-entropy in nats, averaged over the batch, of ``labels``; of the teacher's own classes if None.

    Chen et al., ICCV 2019, "Data-Free Learning of Student Networks" (DAFL), equation 3: it is small where the teacher
    is sure. Gradients flow to the logits; which class is the largest is taken as given.
    """
    chosen = teacher_logits.argmax(dim=1) if labels is None else labels
    return F.cross_entropy(teacher_logits.float(), chosen)


def class_balance(teacher_logits: Float[Tensor, "batch classes"]) -> Float[Tensor, ""]:
    """Return ``sum_c p_c log p_c`` in nats, where p is the mean over the batch of the teacher's probabilities.

    Minus the entropy of the classes of a batch: from -log(classes), where all are alike, to 0, where one has all. DAFL,
    equation 6, whose code takes logarithms to base 10. Computed from logarithms, so that a class whose mean probability
    underflows gives 0 and no NaN.
    """
    log_mean = teacher_logits.float().log_softmax(dim=1).logsumexp(dim=0) - torch.tensor(len(teacher_logits)).log()
    return (log_mean.exp() * log_mean).sum()


def activation(features: Float[Tensor, "batch dim"]) -> Float[Tensor, ""]:
    """Return ``-mean |f|`` over the batch and the teacher's penultimate features: small where they respond.

    DAFL, equation 4, as the authors' code has it, with the mean over the features too.
    """
    return -features.float().abs().mean()
