"""The optimisers and how their learning rates fall (section 5.1)."""

import pytest
import torch

from dfkd.loop import distill
from dfkd.steps import generator_step, student_step


def settings(optimizer, *names):
    (group,) = optimizer.param_groups
    return [group[name] for name in names]


def trained(optimizer):
    return {id(p) for group in optimizer.param_groups for p in group["params"]}


PAPER = {}
OTHER = {
    "generator.learning_rate": 0.004,
    "generator.beta1": 0.3,
    "generator.beta2": 0.7,
    "student.learning_rate": 0.05,
    "student.momentum": 0.6,
    "student.weight_decay": 0.02,
}


@pytest.mark.parametrize(
    ("overrides", "rate", "betas"), [(PAPER, 1e-3, (0.5, 0.99)), (OTHER, 0.004, (0.3, 0.7))], ids=["paper", "other"]
)
def test_the_generator_is_trained_by_adam(learners, overrides, rate, betas):
    synthesizer = learners(overrides).synthesizer
    assert type(synthesizer.optimizer) is torch.optim.Adam
    assert settings(synthesizer.optimizer, "lr", "betas", "weight_decay") == [rate, betas, 0]
    assert trained(synthesizer.optimizer) == {id(p) for p in synthesizer.network.parameters()}


@pytest.mark.parametrize(
    ("overrides", "expected"), [(PAPER, [1e-2, 0.9, 5e-4]), (OTHER, [0.05, 0.6, 0.02])], ids=["paper", "other"]
)
def test_the_student_is_trained_by_sgd_with_what_stands_beside_it(learners, overrides, expected):
    made = learners(overrides)
    assert type(made.student_optimizer) is torch.optim.SGD
    assert settings(made.student_optimizer, "lr", "momentum", "weight_decay") == expected
    assert settings(made.student_optimizer, "dampening", "nesterov") == [0, False]
    beside = [p for p in made.auxiliary.parameters() if p.requires_grad]
    assert trained(made.student_optimizer) == {id(p) for p in (*made.student.network.parameters(), *beside)}
    assert beside


SIZES = {
    "generator.learning_rate": 0.004,
    "student.learning_rate": 0.02,
    "schedule.iterations_per_epoch": 2,
    "schedule.generator_steps": 2,
}
"""3 epochs of 2 rounds, each of 2 generator steps and 1 student step: 12 and 6 in all."""

# Epochs begin at generator steps 0, 4 and 8 of 12: 0.004 (1 + cos(pi t / 12)) / 2, with cosines 1, 1/2 and -1/2.
GENERATOR_RATES = [("cosine", [0.004, 0.003, 0.001]), ("constant", [0.004] * 3)]


@pytest.mark.parametrize(("schedule", "expected"), GENERATOR_RATES)
def test_the_generators_learning_rate_by_epoch(tiny, teacher, digits, schedule, expected):
    config = tiny(SIZES | {"generator.schedule": schedule})
    records = list(distill(config, teacher=teacher, test=digits[1], device=torch.device("cpu")))
    assert [record["generator.learning_rate"] for record in records] == pytest.approx(expected)
    # The student's is a cosine either way: epochs begin at its steps 0, 2 and 4 of 6.
    assert [record["student.learning_rate"] for record in records] == pytest.approx([0.02, 0.015, 0.005])


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_the_rates_that_a_record_gives_are_those_of_the_next_steps(tiny, learners, schedule):
    overrides = SIZES | {"generator.schedule": schedule}
    config, made = tiny(overrides), learners(overrides)
    for _ in range(2):
        generator_step(config, made)
        student_step(config, made)
        assert settings(made.synthesizer.optimizer, "lr") == [made.synthesizer.rates()["generator.learning_rate"]]
        assert settings(made.student_optimizer, "lr") == made.student_schedule.get_last_lr()
    # After 2 of 12 and of 6 steps: cos(pi / 6) is sqrt(3) / 2, cos(pi / 3) is 1/2.
    falling = 0.004 * (1 + 3**0.5 / 2) / 2
    assert settings(made.synthesizer.optimizer, "lr") == pytest.approx([falling if schedule == "cosine" else 0.004])
    assert settings(made.student_optimizer, "lr") == pytest.approx([0.015])
