"""One generator step and one student step: what they compute and what they change."""

import math

import pytest
import torch
from torch import nn

import dfkd.losses.distances
from dfkd.losses import batch_norm_statistics, soft_target_kl
from dfkd.models.taps import tap_batch_norms, tap_features
from dfkd.stepping import gradient_norm
from dfkd.steps import describe_batch, generator_step, student_step


def snapshot(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def loss_terms(measured):
    return {name: value for name, value in measured.items() if "_loss." in name}


def test_without_the_adversarial_term_the_generator_does_not_ask_the_student(tiny, learners):
    off = {"generator_loss.adversarial.weight": 0.0}
    learners = learners(off)
    learners.student.network.register_forward_pre_hook(lambda *args: pytest.fail("asked"))
    generator_step(tiny(off), learners)


def test_the_generator_step_changes_the_generator_alone(tiny, learners, teacher):
    learners = learners()
    others = (teacher.classifier.network, learners.student.network, learners.auxiliary)
    before, core = [snapshot(m) for m in others], snapshot(learners.synthesizer.network)
    generator_step(tiny(), learners)
    assert all(equal(snapshot(m), state) for m, state in zip(others, before, strict=True))
    assert all(p.grad is None for m in others for p in m.parameters())
    after = snapshot(learners.synthesizer.network)
    assert all(not torch.equal(after[name], core[name]) for name, _ in learners.synthesizer.network.named_parameters())


@pytest.mark.parametrize("attention", ["frozen", "shared", "student", "both"])
def test_the_student_step_changes_the_student_and_what_is_trained_beside_it(tiny, learners, teacher, attention):
    config = tiny({"student_loss.mhad.attention": attention})
    learners = learners({"student_loss.mhad.attention": attention})
    network, generator = teacher.classifier.network, learners.synthesizer.network
    frozen = snapshot(network)
    fixed = [(p, p.detach().clone()) for p in generator.parameters()]
    beside = [(p, p.detach().clone()) for p in learners.auxiliary.parameters()]
    student = [(p, p.detach().clone()) for p in learners.student.network.parameters()]
    student_step(config, learners)
    assert equal(snapshot(network), frozen)
    assert all(torch.equal(p, before) for p, before in fixed)
    assert all(p.grad is None for p in (*network.parameters(), *generator.parameters()))
    assert all(torch.equal(p, before) != p.requires_grad for p, before in beside)
    assert any(not p.requires_grad for p, _ in beside) == (attention in ("frozen", "student"))
    assert not any(torch.equal(p, before) for p, before in student)


def test_the_steps_take_turns_without_leaving_anything_frozen(tiny, learners):
    learners = learners()
    student_step(tiny(), learners)
    generator_step(tiny(), learners)
    before = snapshot(learners.student.network)
    student_step(tiny(), learners)
    assert learners.student.network.training
    after = snapshot(learners.student.network)
    assert not [name for name in after if torch.equal(after[name], before[name])]  # weights and batch statistics


def test_the_generators_gradient_is_that_of_equation_10(tiny, learners):
    overrides = {"generator_loss.batch_norm.weight": 0.5, "generator_loss.adversarial.weight": 2.0}
    overrides |= {"student_loss.distillation.temperature": 3.0}
    ours, twin = learners(overrides), learners(overrides)
    terms = generator_step(tiny(overrides), ours)
    # 0.5 L_BN - 2 KL; the teacher is in evaluation mode, the student normalises by the batch's own statistics.
    teacher, student = twin.teacher.classifier.network.eval(), twin.student.network.train()
    images = twin.judges.network_input(twin.synthesizer.network(twin.synthesizer.latents.draw(8)[0]))
    with tap_batch_norms(teacher, enabled=True) as (layers, inputs):
        logits = teacher(images)
    matching, divergence = (
        batch_norm_statistics(layers, inputs),
        soft_target_kl(student(images), logits, temperature=3.0),
    )
    (0.5 * matching - 2 * divergence).backward()
    assert loss_terms(terms) == {"generator_loss.batch_norm": matching, "generator_loss.adversarial": -divergence}
    assert terms["generator.gradient_norm"] == gradient_norm(ours.synthesizer.network.parameters())
    for p, q in zip(ours.synthesizer.network.parameters(), twin.synthesizer.network.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-3, atol=1e-6)


def test_the_students_gradient_is_that_of_equation_11(tiny, learners):
    overrides = {
        "student_loss.distillation.weight": 2.0,
        "student_loss.mhad.weight": 3.0,
        "student_loss.sfcl.weight": 5.0,
    }
    ours, twin = learners(overrides), learners(overrides)
    terms = student_step(tiny(overrides), ours)
    with torch.no_grad():
        images = twin.judges.network_input(twin.synthesizer.network(twin.synthesizer.latents.draw(8)[0]))
    with tap_features(twin.teacher.classifier, enabled=True) as theirs, tap_features(twin.student, enabled=True) as own:
        teacher_logits, student_logits = twin.teacher.classifier.network(images), twin.student.network.train()(images)
    expected = {
        "student_loss.mhad": twin.auxiliary["mhad"](theirs, own),
        "student_loss.sfcl": twin.auxiliary["sfcl"](theirs, own),
        "student_loss.distillation": soft_target_kl(student_logits, teacher_logits, temperature=1.0),
    }
    (
        2 * expected["student_loss.distillation"]
        + 3 * expected["student_loss.mhad"]
        + 5 * expected["student_loss.sfcl"]
    ).backward()
    assert loss_terms(terms) == expected
    assert terms["student.gradient_norm"] == gradient_norm(ours.student.network.parameters())
    for name, value in describe_batch(teacher_logits, student_logits).items():
        torch.testing.assert_close(terms[name], value)
    for module in ("student", "auxiliary"):
        pairs = [getattr(getattr(side, module), "network", getattr(side, module)).parameters() for side in (ours, twin)]
        for p, q in zip(*pairs, strict=True):
            if p.requires_grad:
                torch.testing.assert_close(p.grad, q.grad, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    "other",
    [
        {"student_loss.mhad.weight": 0.0, "student_loss.sfcl.weight": 0.0},
        {"generator.attention.weight": 0.0},
        {"generator_loss.batch_norm.weight": 0.0},
        {"student_loss.mhad.orders": "1", "student_loss.sfcl.weight": 1.0},
    ],
)
def test_one_seed_starts_every_row_of_an_ablation_alike(learners, other):
    one, two = learners(), learners(other)
    assert equal(snapshot(one.student.network), snapshot(two.student.network))
    core = [
        {k: v for k, v in snapshot(x.synthesizer.network).items() if not k.startswith("attend.")} for x in (one, two)
    ]
    assert equal(*core)
    assert torch.equal(one.synthesizer.latents.draw(8)[0], two.synthesizer.latents.draw(8)[0])


def test_another_seed_starts_elsewhere(learners):
    one, two = learners(), learners({"seed": 1})
    assert not equal(snapshot(one.student.network), snapshot(two.student.network))
    assert not torch.equal(one.synthesizer.latents.draw(8)[0], two.synthesizer.latents.draw(8)[0])


def test_a_gradients_norm_is_that_of_all_parameters_together():
    one, other, unused = (nn.Parameter(torch.zeros(2)) for _ in range(3))
    one.grad, other.grad = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 4.0])
    assert gradient_norm([one, other, unused]) == 5.0


@pytest.mark.parametrize("limit", [0.01, 0.1])
def test_a_long_gradient_is_shortened_over_all_that_the_student_trains(tiny, learners, limit):
    settings = {"student.gradient_clip_norm": limit, "student.weight_decay": 0.0, "student.learning_rate": 0.5}
    config, learners = tiny(settings), learners(settings)
    trained = [p for group in learners.student_optimizer.param_groups for p in group["params"]]
    before = [p.detach().clone() for p in trained]
    assert student_step(config, learners)["student.gradient_norm"] > limit  # measured before it is shortened
    # SGD's first step is the learning rate times the gradient, momentum or not.
    moved = torch.stack([(p - was).norm() for p, was in zip(trained, before, strict=True)]).norm()
    assert moved.item() == pytest.approx(0.5 * limit, rel=1e-3)


def test_a_short_gradient_is_left_as_it_is(tiny, learners):
    ends = []
    for limit in (0.0, 1e6):
        settings = {"student.gradient_clip_norm": limit}
        one = learners(settings)
        student_step(tiny(settings), one)
        ends.append(snapshot(one.student.network))
    assert equal(*ends)


def test_a_batch_is_described_by_hand():
    # The teacher's probabilities are (3/4, 1/4, 0) and, twice, (0, 0, 1); the student agrees on one image of three.
    tiny = 1e-30
    teacher = torch.tensor([[0.75, 0.25, tiny], [tiny, tiny, 1.0], [tiny, tiny, 1.0]]).log()
    student = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    found = describe_batch(teacher, student)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / 3
    expected = {"confidence": 2.75 / 3, "entropy": entropy, "agreement": 1 / 3, "class_shares": [1 / 3, 0.0, 2 / 3]}
    for name, value in expected.items():
        torch.testing.assert_close(found[f"synthetic.{name}"], torch.tensor(value))


@pytest.mark.parametrize("normalisation", ["batch", "running"])
def test_a_frozen_network_normalises_as_asked_and_remembers_nothing(tiny, learners, normalisation):
    overrides = {
        "student.normalisation_when_frozen": normalisation,
        "generator.normalisation_when_frozen": normalisation,
    }
    ours, modes = learners(overrides), {"generator": [], "student": []}
    for name, network in (("generator", ours.synthesizer.network), ("student", ours.student.network)):
        network.register_forward_pre_hook(lambda module, args, name=name: modes[name].append(module.training))
    remembered = snapshot(ours.student.network)
    generator_step(tiny(overrides), ours)
    assert equal(snapshot(ours.student.network), remembered)
    student_step(tiny(overrides), ours)
    generator_step(tiny(overrides), ours)
    frozen = normalisation == "batch"
    assert modes == {"generator": [True, frozen, True], "student": [frozen, True, frozen]}


def test_the_direction_of_the_divergence_reaches_both_players(tiny, learners, monkeypatch):
    seen = []
    step = dfkd.losses.distances.soft_target_kl
    monkeypatch.setattr(
        dfkd.losses.distances, "soft_target_kl", lambda *a, **k: seen.append(k["direction"]) or step(*a, **k)
    )
    overrides = {"student_loss.distillation.direction": "reverse"}
    ours = learners(overrides)
    generator_step(tiny(overrides), ours)
    student_step(tiny(overrides), ours)
    assert seen == ["reverse", "reverse"]


@pytest.mark.parametrize("channels_last", [False, True])
def test_bfloat16_runs_and_keeps_weights_and_terms_in_float32(tiny, learners, channels_last):
    overrides = {"compute.precision": "bfloat16", "compute.channels_last": channels_last}
    learners, seen = learners(overrides), []
    learners.student.network.get_submodule("stages.0").register_forward_hook(lambda m, a, out: seen.append(out.dtype))
    terms = generator_step(tiny(overrides), learners) | student_step(tiny(overrides), learners)
    assert set(seen) == {torch.bfloat16}
    assert {t.dtype for t in terms.values()} == {torch.float32}
    assert all(
        p.dtype == torch.float32
        for m in (learners.student.network, learners.synthesizer.network)
        for p in m.parameters()
    )


def test_channels_last_reaches_the_networks(tiny, learners):
    learners, seen = learners({"compute.channels_last": True}), []
    learners.student.network.register_forward_pre_hook(
        lambda m, args: seen.append(args[0].is_contiguous(memory_format=torch.channels_last))
    )
    generator_step(tiny({"compute.channels_last": True}), learners)
    student_step(tiny({"compute.channels_last": True}), learners)
    assert seen == [True, True]
