"""Distances between the networks' answers, and which images count."""

import torch

from dfkd.config import RunConfig
from dfkd.losses import agreeing, discrepancy, soft_target_kl
from dfkd.overrides import with_overrides
from dfkd.synthesis.terms import adversarial

STUDENT = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
TEACHER = torch.tensor([[3.0, 0.0], [1.0, 0.0]])


def config(**settings):
    return with_overrides(RunConfig(), {f"generator_loss.adversarial.{key}": value for key, value in settings.items()})


def test_distances_of_logits_by_hand():
    # Differences (2, 0) and (1, -2): absolute 5 / 4, squared (4 + 0 + 1 + 4) / 4.
    assert discrepancy(STUDENT, TEACHER, kind="l1") == 1.25
    assert discrepancy(STUDENT, TEACHER, kind="mse") == 2.25


def test_a_divergence_is_the_one_of_its_own_file():
    found = discrepancy(STUDENT, TEACHER, kind="kl", temperature=2.0, direction="reverse")
    assert found == soft_target_kl(STUDENT, TEACHER, temperature=2.0, direction="reverse")


def test_images_on_which_both_agree():
    assert agreeing(STUDENT, TEACHER).tolist() == [True, False]


def test_masked_images_count_as_zero_and_get_no_gradient():
    # The second image is masked: of |differences| (2, 0) and (1, 2), those of the first stay, over all four numbers.
    student, teacher = STUDENT.clone().requires_grad_(), TEACHER.clone().requires_grad_()
    found = adversarial(config(kind="l1", mask="agreeing"), student, teacher)
    found.backward()
    assert found == -0.5
    assert student.grad[1].tolist() == teacher.grad[1].tolist() == [0, 0]
    assert student.grad[0, 0] == 0.25


def test_nothing_agreed_on_is_zero_and_no_nan():
    found = adversarial(config(kind="kl", mask="agreeing"), STUDENT[1:], TEACHER[1:])
    assert found == 0


def test_the_players_share_a_distance_unless_the_generator_has_its_own():
    hot = {"student_loss.distillation.temperature": 20.0}
    shared = with_overrides(RunConfig(), hot)
    own = with_overrides(RunConfig(), hot | {"generator_loss.adversarial.kind": "kl"})
    assert adversarial(shared, STUDENT, TEACHER) == -soft_target_kl(STUDENT, TEACHER, temperature=20.0)
    assert adversarial(own, STUDENT, TEACHER) == -soft_target_kl(STUDENT, TEACHER, temperature=1.0)
