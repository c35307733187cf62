"""DAFL's terms: sure answers, classes alike, features that respond."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dfkd.losses import activation, class_balance, one_hot


def logits(seed, batch=6, classes=4):
    return 3 * torch.randn(batch, classes, generator=torch.Generator().manual_seed(seed))


def test_sure_answers_by_hand():
    # Probabilities (3/4, 1/4) and (1/5, 4/5): the largest are 3/4 and 4/5, the others 1/4 and 1/5.
    answers = torch.tensor([[3.0, 1.0], [1.0, 4.0]]).log()
    assert one_hot(answers).item() == pytest.approx(-(math.log(3 / 4) + math.log(4 / 5)) / 2)
    assert one_hot(answers, torch.tensor([1, 0])).item() == pytest.approx(-(math.log(1 / 4) + math.log(1 / 5)) / 2)


def test_the_classes_asked_for_pull_the_answer_and_the_teachers_own_make_it_surer():
    for labels, pulled in ((torch.tensor([1]), 1), (None, 0)):
        answer = torch.tensor([[2.0, 1.0]], requires_grad=True)
        one_hot(answer, labels).backward()
        assert answer.grad[0, pulled] < 0 < answer.grad[0, 1 - pulled]


def test_balance_by_hand():
    # Mean probabilities of (3/4, 1/4) and (1/4, 3/4): 1/2 each.
    even = torch.tensor([[3.0, 1.0], [1.0, 3.0]]).log()
    assert class_balance(even).item() == pytest.approx(-math.log(2), rel=1e-6)
    # 3/4 and 1/4 on every image.
    skewed = torch.tensor([[3.0, 1.0], [3.0, 1.0]]).log()
    assert class_balance(skewed).item() == pytest.approx(0.75 * math.log(0.75) + 0.25 * math.log(0.25), rel=1e-6)


@given(st.integers(0, 99))
def test_balance_lies_between_even_and_one_class(seed):
    assert -math.log(4) - 1e-5 <= class_balance(logits(seed)).item() <= 1e-6


def test_a_class_that_underflows_gives_a_number_and_a_gradient():
    # exp(-1000) is 0 in float32: p log p from probabilities would be NaN there.
    answers = torch.tensor([[1000.0, 0.0], [1000.0, 0.0]], requires_grad=True)
    found = class_balance(answers)
    found.backward()
    assert found == 0
    assert torch.isfinite(answers.grad).all()


def test_balance_pulls_towards_the_rarer_class():
    answers = torch.tensor([[2.0, 0.0], [2.0, 0.0]], requires_grad=True)
    class_balance(answers).backward()
    assert (answers.grad[:, 0] > 0).all()
    assert (answers.grad[:, 1] < 0).all()


def test_activation_by_hand():
    assert activation(torch.tensor([[1.0, -3.0], [0.0, 2.0]])).item() == -6 / 4


def test_terms_stay_in_float32():
    half = logits(0).bfloat16()
    assert {one_hot(half).dtype, class_balance(half).dtype, activation(half).dtype} == {torch.float32}
