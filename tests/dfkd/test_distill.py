"""The adversarial loop: what each step computes, what it changes, and what a record holds."""

import math
from dataclasses import replace
from importlib import import_module
from itertools import product

import pytest
import torch

import dfkd.models.auxiliary
from dfkd.distill import TIMINGS, distill, generator_step, run_summary, student_step
from dfkd.errors import TrainingDivergedError
from dfkd.learners import Learners
from dfkd.losses import batch_norm_statistics, soft_target_kl
from dfkd.models.taps import tap_batch_norms, tap_features

CPU = torch.device("cpu")
loop = import_module("dfkd.distill")  # the attribute `distill` of the package is the function
SHORT = {"schedule.epochs": 1}
TERMS = (
    "generator_loss.adversarial",
    "generator_loss.batch_norm",
    "student_loss.distillation",
    "student_loss.mhad",
    "student_loss.sfcl",
)


@pytest.fixture
def run(tiny, teacher, digits):
    """Return ``run(overrides)``: all records of a tiny run."""
    return lambda overrides={}, **settings: list(
        distill(tiny(overrides), teacher=teacher, test=digits[1], device=CPU, **settings)
    )


@pytest.fixture
def learners(tiny, teacher):
    """Return ``learners(overrides)``: everything that a tiny run trains, at its initial state."""
    return lambda overrides={}: Learners(tiny(overrides), teacher=teacher, device=CPU)


def snapshot(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def weights(on):
    return {f"{term}.weight": float(term in on) for term in TERMS}


COMBINATIONS = [
    tuple(term for term, on in zip(TERMS, switches, strict=True) if on)
    for switches in product((True, False), repeat=5)
    if any(switches[:2]) and any(switches[2:])
]


@pytest.mark.parametrize("on", COMBINATIONS, ids=lambda on: "+".join(term.split(".")[1] for term in on))
def test_a_record_has_the_terms_that_are_on_and_no_other(run, on):
    (record,) = run(SHORT | weights(on))
    always = {"epoch", "student.learning_rate", "test_accuracy", *TIMINGS}
    assert record.keys() == always | set(on)
    assert all(math.isfinite(value) for value in record.values())


@pytest.mark.parametrize(
    ("off", "module", "function"),
    [
        (("generator_loss.batch_norm",), loop, "batch_norm_statistics"),
        (("generator_loss.adversarial", "student_loss.distillation"), loop, "soft_target_kl"),
        (("student_loss.mhad",), dfkd.models.auxiliary, "attention_distance"),
        (("student_loss.sfcl",), dfkd.models.auxiliary, "semantic_contrast"),
    ],
)
def test_a_term_of_weight_zero_is_never_computed(run, monkeypatch, off, module, function):
    monkeypatch.setattr(module, function, lambda *args, **kwargs: pytest.fail("computed"))
    run(SHORT | weights(set(TERMS) - set(off)))
    with pytest.raises(pytest.fail.Exception, match="computed"):
        run(SHORT | weights(TERMS))


def test_without_the_adversarial_term_the_generator_does_not_ask_the_student(tiny, learners):
    off = {"generator_loss.adversarial.weight": 0.0}
    learners = learners(off)
    learners.student.network.register_forward_pre_hook(lambda *args: pytest.fail("asked"))
    generator_step(tiny(off), learners)


def test_the_generator_step_changes_the_generator_alone(tiny, learners, teacher):
    learners = learners()
    others = (teacher.classifier.network, learners.student.network, learners.auxiliary)
    before, core = [snapshot(m) for m in others], snapshot(learners.generator)
    generator_step(tiny(), learners)
    assert all(equal(snapshot(m), state) for m, state in zip(others, before, strict=True))
    assert all(p.grad is None for m in others for p in m.parameters())
    after = snapshot(learners.generator)
    assert all(not torch.equal(after[name], core[name]) for name, _ in learners.generator.named_parameters())


@pytest.mark.parametrize("attention", ["frozen", "shared"])
def test_the_student_step_changes_the_student_and_what_is_trained_beside_it(tiny, learners, teacher, attention):
    config = tiny({"student_loss.mhad.attention": attention})
    learners = learners({"student_loss.mhad.attention": attention})
    network, generator = teacher.classifier.network, learners.generator
    frozen = snapshot(network)
    fixed = [(p, p.detach().clone()) for p in generator.parameters()]
    beside = [(p, p.detach().clone()) for p in learners.auxiliary.parameters()]
    student = [(p, p.detach().clone()) for p in learners.student.network.parameters()]
    student_step(config, learners)
    assert equal(snapshot(network), frozen)
    assert all(torch.equal(p, before) for p, before in fixed)
    assert all(p.grad is None for p in (*network.parameters(), *generator.parameters()))
    assert all(torch.equal(p, before) != p.requires_grad for p, before in beside)
    assert any(not p.requires_grad for p, _ in beside) == (attention == "frozen")
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
    images = twin.network_input(twin.generator(twin.draw_noise()))
    with tap_batch_norms(teacher, enabled=True) as (layers, inputs):
        logits = teacher(images)
    matching, divergence = (
        batch_norm_statistics(layers, inputs),
        soft_target_kl(student(images), logits, temperature=3.0),
    )
    (0.5 * matching - 2 * divergence).backward()
    assert terms == {"generator_loss.batch_norm": matching, "generator_loss.adversarial": -divergence}
    for p, q in zip(ours.generator.parameters(), twin.generator.parameters(), strict=True):
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
        images = twin.network_input(twin.generator(twin.draw_noise()))
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
    assert terms == expected
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
    core = [{k: v for k, v in snapshot(x.generator).items() if not k.startswith("attend.")} for x in (one, two)]
    assert equal(*core)
    assert torch.equal(one.draw_noise(), two.draw_noise())


def test_another_seed_starts_elsewhere(learners):
    one, two = learners(), learners({"seed": 1})
    assert not equal(snapshot(one.student.network), snapshot(two.student.network))
    assert not torch.equal(one.draw_noise(), two.draw_noise())


def numbers(records):
    return [{k: v for k, v in r.items() if k not in TIMINGS} for r in records]


def test_the_same_run_gives_the_same_numbers_and_touches_no_global_state(run):
    torch.manual_seed(1)
    first = run()
    before = torch.get_rng_state()
    torch.rand(7)
    moved = torch.get_rng_state()
    assert numbers(run()) == numbers(first)
    assert torch.equal(torch.get_rng_state(), moved)
    assert not torch.equal(before, moved)


def test_the_test_images_are_only_measured_on(run, tiny, teacher, digits):
    wrong = replace(digits[1], labels=(digits[1].labels + 1) % 3)
    other = list(distill(tiny(), teacher=teacher, test=wrong, device=CPU))
    same = [{k: v for k, v in r.items() if k != "test_accuracy"} for r in numbers(run())]
    assert same == [{k: v for k, v in r.items() if k != "test_accuracy"} for r in numbers(other)]


def test_the_students_learning_rate_falls_along_half_a_cosine(run):
    rates = [
        r["student.learning_rate"] for r in run({"student.learning_rate": 0.02, "schedule.iterations_per_epoch": 2})
    ]
    # 3 epochs of 2 rounds of one student step: epochs begin at steps 0, 2 and 4 of 6; 0.02 (1 + cos(pi t / 6)) / 2.
    assert rates == pytest.approx([0.02, 0.015, 0.005])


def test_a_record_counts_every_image_and_averages_over_the_steps(run, monkeypatch):
    values = iter([1.0, 3.0, 5.0, 11.0])
    step = loop.generator_step

    def scripted(config, learners):
        step(config, learners)
        return {"generator_loss.adversarial": torch.tensor(next(values))}

    monkeypatch.setattr(loop, "generator_step", scripted)
    (record,) = run(SHORT | {"schedule.iterations_per_epoch": 2, "schedule.generator_steps": 2})
    assert record["generator_loss.adversarial"] == 5.0  # (1 + 3 + 5 + 11) / 4, over 2 rounds of 2 steps
    # 2 rounds of 2 generator steps and 1 student step, of 8 images.
    assert record["images_per_second"] * record["seconds"] == pytest.approx(48, rel=1e-2)


def test_epochs_are_numbered_from_one(run):
    assert [r["epoch"] for r in run()] == [1, 2, 3]


@pytest.mark.parametrize("rates", [{"student.learning_rate": 1e30}, {"generator.learning_rate": 1e30}])
def test_divergence_is_an_error_that_names_the_term(run, rates):
    with pytest.raises(TrainingDivergedError, match=r"In epoch \d .*_loss\.\w+ became (nan|inf|-inf).*Lower `student"):
        run(rates)


def test_divergence_keeps_the_last_good_state(run, tmp_path, monkeypatch):
    records = []
    step = loop.student_step

    def poisoned(config, learners):
        terms = step(config, learners)
        return terms if len(records) < 2 else terms | {"student_loss.sfcl": torch.tensor(torch.nan)}

    def counted(*args):
        records.append(None)
        return poisoned(*args)

    monkeypatch.setattr(loop, "student_step", counted)
    with pytest.raises(TrainingDivergedError, match=r"In epoch 2 student_loss.sfcl became nan"):
        run(state_path=tmp_path / "state.pt")
    assert torch.load(tmp_path / "state.pt", weights_only=True)["history"][-1]["epoch"] == 1


@pytest.mark.parametrize("channels_last", [False, True])
def test_bfloat16_runs_and_keeps_weights_and_terms_in_float32(tiny, learners, channels_last):
    overrides = {"compute.precision": "bfloat16", "compute.channels_last": channels_last}
    learners, seen = learners(overrides), []
    learners.student.network.get_submodule("stages.0").register_forward_hook(lambda m, a, out: seen.append(out.dtype))
    terms = generator_step(tiny(overrides), learners) | student_step(tiny(overrides), learners)
    assert set(seen) == {torch.bfloat16}
    assert {t.dtype for t in terms.values()} == {torch.float32}
    assert all(p.dtype == torch.float32 for m in (learners.student.network, learners.generator) for p in m.parameters())


@pytest.mark.parametrize("overrides", [{"compute.channels_last": True}, {"compute.precision": "bfloat16"}])
def test_memory_order_and_precision_move_the_last_digits_only(run, overrides):
    # One step each, so that rounding has not grown yet. bfloat16 has 8 bits, and the cosines of an untrained network's
    # features differ in the last of them: L_SFCL at tau 0.07 is left out there.
    (plain,), (other,) = run(SHORT), run(SHORT | overrides)
    low = "compute.precision" in overrides
    terms = TERMS[:-1] if low else TERMS
    expected = pytest.approx({t: plain[t] for t in terms}, rel=0.1 if low else 1e-3)
    assert {t: other[t] for t in terms} == expected


def test_channels_last_reaches_the_networks(tiny, learners):
    learners, seen = learners({"compute.channels_last": True}), []
    learners.student.network.register_forward_pre_hook(
        lambda m, args: seen.append(args[0].is_contiguous(memory_format=torch.channels_last))
    )
    generator_step(tiny({"compute.channels_last": True}), learners)
    student_step(tiny({"compute.channels_last": True}), learners)
    assert seen == [True, True]


@pytest.mark.parametrize("names", [("resnet20", "resnet14"), ("resnet10", "resnet10_half")])
def test_other_pairs_of_networks_distill(tiny, digits, tmp_path, names):
    from dfkd.teacher import load_teacher, train_teacher

    config = tiny(SHORT | {"teacher.architecture": names[0], "student.architecture": names[1]})
    few = replace(digits[0], images=digits[0].images[:32], labels=digits[0].labels[:32])
    list(train_teacher(config, train=few, test=few, device=CPU, path=tmp_path / "t.pt"))
    teacher = load_teacher(config, tmp_path / "t.pt", class_names=few.class_names, way_out="")
    (record,) = distill(config, teacher=teacher, test=replace(few, images=few.images[..., 1:17, 1:17]), device=CPU)
    assert set(TERMS) <= record.keys()


def test_a_run_is_summed_up_by_hand():
    history = [{"test_accuracy": value} for value in (0.1, 0.5, 0.3, 0.4)]
    # Over the last three: mean 0.4; deviations 0.1, -0.1, 0: sd sqrt(0.02 / 2).
    assert run_summary(history, final_epochs=3) == {
        "last": 0.4,
        "best_on_test": 0.5,
        "best_epoch": 2,
        "final_mean": pytest.approx(0.4),
        "final_sd": pytest.approx(0.1),
        "final_epochs": 3,
    }


def test_a_short_run_is_summed_up_over_what_there_is():
    assert run_summary([{"test_accuracy": 0.25}]) == {
        "last": 0.25,
        "best_on_test": 0.25,
        "best_epoch": 1,
        "final_mean": 0.25,
        "final_sd": 0.0,
        "final_epochs": 1,
    }
    assert run_summary([{"test_accuracy": 0.25}] * 4)["final_epochs"] == 4


def test_the_first_of_equal_bests_counts():
    assert run_summary([{"test_accuracy": value} for value in (0.1, 0.3, 0.3)])["best_epoch"] == 2
