"""L_KD, equation 2: make the student's class probabilities match the teacher's."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def soft_target_kl(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    *,
    temperature: float,
    direction: str = "forward",
) -> Float[Tensor, ""]:
    """Return ``T^2 * KL(teacher_T || student_T)`` in nats, averaged over the batch.

    With ``direction="reverse"`` it is ``T^2 * KL(student_T || teacher_T)``.

    The factor T^2 keeps the gradient's size about the same at every temperature (Hinton et al., 2015, section 2).
    Zero if and only if both rows of logits agree up to a constant. Gradients flow to both arguments, because the
    generator needs the teacher's; detach the teacher's logits to train the student. Computed in float32.

    The paper's equation 2 writes the reverse direction; the same author's published code computes the forward one
    (docs/departures.md).
    """
    if temperature <= 0:
        raise ValueError(f"`temperature > 0` must hold, but got {temperature=}.")
    student_log_p = F.log_softmax(student_logits.float() / temperature, dim=-1)
    teacher_log_p = F.log_softmax(teacher_logits.float() / temperature, dim=-1)
    given, wanted = (student_log_p, teacher_log_p) if direction == "forward" else (teacher_log_p, student_log_p)
    # "batchmean", because "mean" divides by the number of classes too.
    return temperature**2 * F.kl_div(given, wanted, reduction="batchmean", log_target=True)
