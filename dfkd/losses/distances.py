"""How far apart teacher and student are, image by image: what the adversarial term seeks, masked or not."""

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from dfkd.losses.distillation import soft_target_kl


def logit_distance(
    student_logits: Float[Tensor, "batch classes"], teacher_logits: Float[Tensor, "batch classes"], *, kind: str
) -> Float[Tensor, ""]:
    """Return the mean over batch and classes of ``|s - t|`` (``kind="l1"``) or of ``(s - t)^2`` (``"mse"``).

    L1 is what Fang et al., 2019, "Data-Free Adversarial Distillation" (DFAD), equation 2, distils by. Gradients flow to
    both arguments. Computed in float32.
    """
    distance = F.l1_loss if kind == "l1" else F.mse_loss
    return distance(student_logits.float(), teacher_logits.float())


def discrepancy(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    *,
    kind: str,
    temperature: float = 1.0,
    direction: str = "forward",
) -> Float[Tensor, ""]:
    """Return L_KD of one kind: ``kl`` by ``soft_target_kl``, ``l1`` or ``mse`` by ``logit_distance``."""
    if kind == "kl":
        return soft_target_kl(student_logits, teacher_logits, temperature=temperature, direction=direction)
    return logit_distance(student_logits, teacher_logits, kind=kind)


def agreeing(
    student_logits: Float[Tensor, "batch classes"], teacher_logits: Float[Tensor, "batch classes"]
) -> Bool[Tensor, " batch"]:
    """Return on which images both networks choose the same class."""
    return student_logits.argmax(dim=1) == teacher_logits.argmax(dim=1)
