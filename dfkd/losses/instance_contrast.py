"""L_cr of contrastive model inversion: what keeps the images of a bank apart from one another."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def instance_contrast(
    local: Float[Tensor, "images dim"],
    whole: Float[Tensor, "images dim"],
    *,
    temperature: float,
    current: int,
) -> Float[Tensor, ""]:
    """Return the mean of ``-log(exp(s(l_i, w_i)/tau) / sum_j exp(s(l_i, w_j)/tau))``, s the cosine.

    l_i and w_i are the features of a local view of image i and of a view of the whole of it; j runs over all images.
    The first ``current`` images are the batch being made, the others lie in the bank: the means over each of both are
    added, so that a full bank does not drown the batch. Gradients flow to ``local`` alone, as in the authors' code
    (CMI, Fang et al., IJCAI 2021, https://arxiv.org/abs/2105.08584). Computed in float32.
    """
    if temperature <= 0:
        raise ValueError(f"`temperature > 0` must hold, but got {temperature=}.")
    if not 0 < current <= len(local):
        raise ValueError(f"`0 < current <= len(local)` must hold, but got {current=} and {len(local)=}.")
    anchors = F.normalize(local.float(), dim=-1)
    candidates = F.normalize(whole.detach().float(), dim=-1)
    losses = -F.log_softmax(anchors @ candidates.T / temperature, dim=1).diagonal()
    return losses[:current].mean() + (losses[current:].mean() if current < len(losses) else 0)
