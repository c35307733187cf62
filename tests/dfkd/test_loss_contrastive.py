"""L_SFCL, equation 9."""

import math

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from dfkd.config import SFCLConfig
from dfkd.losses import semantic_contrast

E1, E2 = [1.0, 0.0], [0.0, 1.0]


def features(seed, count=5):
    source = torch.Generator().manual_seed(seed)
    return torch.randn(count, 7, generator=source), torch.randn(count, 7, generator=source)


@pytest.mark.parametrize("tau", [1.0, 0.5, 0.07])
def test_value_by_hand_for_two_images(tau):
    # Teacher e1, e2; student e1, e1. With a = exp(1 / tau):
    # anchor t1: s1 scores a (the positive), s2 a, t2 1: -log(a / (2 a + 1)); anchor t2: all score 1: -log(1 / 3).
    a = math.exp(1 / tau)
    expected = (-math.log(a / (2 * a + 1)) + math.log(3)) / 2
    value = semantic_contrast(torch.tensor([E1, E2]), torch.tensor([E1, E1]), temperature=tau)
    torch.testing.assert_close(value, torch.tensor(expected))


def test_only_the_teachers_features_are_anchors():
    # The case above with the roles swapped. Anchors e1, e1; positives e1, e2; a = e:
    # first: positive a, the others 1 and a: -log(a / (2 a + 1));
    # second: positive 1, the others a and a: -log(1 / (2 a + 1)).
    a = math.e
    expected = (-math.log(a / (2 * a + 1)) + math.log(2 * a + 1)) / 2
    value = semantic_contrast(torch.tensor([E1, E1]), torch.tensor([E1, E2]), temperature=1.0)
    torch.testing.assert_close(value, torch.tensor(expected))


def naive(teacher, student, tau):
    """Return equation 9 as it is written."""
    both = torch.cat([teacher, student])
    count, total = len(teacher), 0.0

    def score(a, b):
        return math.exp(torch.cosine_similarity(a, b, dim=0).item() / tau)

    for i in range(count):
        below = sum(score(teacher[i], both[k]) for k in range(2 * count) if k != i)
        total -= math.log(score(teacher[i], student[i]) / below)
    return total / count


@given(st.integers(0, 99), st.integers(1, 5), st.floats(0.05, 2.0))
@example(0, 5, SFCLConfig().temperature)
def test_equals_the_double_loop(seed, count, tau):
    teacher, student = features(seed, count)
    value = semantic_contrast(teacher, student, temperature=tau)
    torch.testing.assert_close(
        value, torch.tensor(naive(teacher.double(), student.double(), tau)), rtol=1e-4, atol=1e-5
    )


@given(st.integers(0, 99), st.permutations(range(5)))
def test_the_order_of_the_images_does_not_matter(seed, order):
    teacher, student = features(seed)
    expected = semantic_contrast(teacher, student, temperature=0.5)
    torch.testing.assert_close(semantic_contrast(teacher[order], student[order], temperature=0.5), expected)


@given(st.integers(0, 99), st.floats(0.1, 10), st.floats(0.1, 10))
def test_lengths_of_the_features_do_not_matter(seed, a, b):
    teacher, student = features(seed)
    expected = semantic_contrast(teacher, student, temperature=0.5)
    torch.testing.assert_close(semantic_contrast(a * teacher, b * student, temperature=0.5), expected)


def test_matching_pairs_are_better_than_swapped_ones():
    teacher = torch.eye(4)
    right, wrong = (semantic_contrast(teacher, s, temperature=0.1) for s in (teacher, teacher.roll(1, 0)))
    assert right < 0.01 < 9 < wrong


def test_gradient_reaches_both_arguments():
    teacher, student = (x.requires_grad_() for x in features(0))
    semantic_contrast(teacher, student, temperature=0.5).backward()
    assert teacher.grad.norm() > 0
    assert student.grad.norm() > 0


def test_is_computed_in_float32():
    teacher, student = (x.bfloat16() for x in features(0))
    expected = semantic_contrast(teacher.float(), student.float(), temperature=0.07)
    torch.testing.assert_close(semantic_contrast(teacher, student, temperature=0.07), expected, rtol=0, atol=0)


def test_is_computed_in_float32_under_autocast_too():
    teacher, student = features(0)
    expected = semantic_contrast(teacher, student, temperature=0.07)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = semantic_contrast(teacher, student, temperature=0.07)
    torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("temperature", [0.0, -0.5])
def test_a_temperature_that_is_not_positive_is_refused(temperature):
    with pytest.raises(ValueError, match=rf"`temperature > 0` must hold, but got temperature={temperature}"):
        semantic_contrast(*features(0), temperature=temperature)
