"""Upper bounds: students that learn from the real training images."""

import pytest
import torch
from torch.nn import functional as F

from dfkd.evaluation import load_training_images
from dfkd.learners import Learners
from dfkd.loop import distill
from dfkd.losses import soft_target_kl
from dfkd.overrides import canonical
from dfkd.real import RealLearners, real_step
from records import numbers

CPU = torch.device("cpu")
METHODS = ("scratch", "real_kd")


@pytest.fixture
def start(tiny, teacher, digits):
    """Return ``start(overrides, path)``: the records of a tiny run on real images, one by one."""
    return lambda overrides, path=None: distill(
        tiny(overrides), teacher=teacher, test=digits[1], train=digits[0], device=CPU, state_path=path
    )


@pytest.fixture
def real(tiny, teacher, digits):
    """Return ``real(overrides)``: what such a run trains, at its initial state."""
    return lambda overrides: RealLearners(tiny(overrides), teacher=teacher, train=digits[0], device=CPU)


@pytest.mark.parametrize("method", METHODS)
def test_three_digits_are_learnt_from_real_images(start, method, teacher):
    *_, last = start({"method": method, "schedule.student_steps": 40, "student.learning_rate": 0.05})
    # Chance is 1/3. The teacher of these tests has seen each image once, and its student cannot know more.
    wanted = 0.8 if method == "scratch" else teacher.test_accuracy - 0.1
    assert last["test_accuracy"] > wanted > 0.3


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("stop", [1, 2])
def test_a_resumed_run_equals_one_that_never_stopped(start, tmp_path, method, stop):
    # 3 steps of 8 an epoch: epochs end in the middle of a pass over the images.
    overrides = {"method": method, "schedule.student_steps": 3}
    whole = list(start(overrides))
    first = start(overrides, tmp_path / "x.pt")
    for _ in range(stop):
        next(first)
    first.close()
    assert numbers(start(overrides, tmp_path / "x.pt")) == numbers(whole)


@pytest.mark.parametrize("crop", ["whole", "resized"])
def test_a_resumed_run_on_crops_of_whole_pictures_equals_one_that_never_stopped(tiny, teacher, digits, tmp_path, crop):
    config = tiny({"method": "scratch", "schedule.student_steps": 3, "teacher.crop": crop})
    train = load_training_images(config, root=None, cache=None)

    def run(path=None):
        return distill(config, teacher=teacher, test=digits[1], train=train, device=CPU, state_path=path)

    whole = numbers(run())
    first = run(tmp_path / "x.pt")
    next(first)
    first.close()
    torch.manual_seed(1)  # another process would have another global state
    assert numbers(run(tmp_path / "x.pt")) == whole


def test_the_loss_is_cross_entropy_from_scratch_and_the_divergence_with_a_teacher(tiny, real):
    for method in METHODS:
        ours, twin = real({"method": method}), real({"method": method})
        measured = real_step(tiny({"method": method}), ours)
        images, labels = twin.draw_batch()
        logits, wanted = twin.student.network.train()(images), twin.teacher.classifier.network(images)
        expected = {
            "scratch": {"student_loss.cross_entropy": F.cross_entropy(logits, labels)},
            "real_kd": {"student_loss.distillation": soft_target_kl(logits, wanted, temperature=1.0)},
        }[method]
        assert {name: value for name, value in measured.items() if "_loss." in name} == expected
        changed = [
            torch.equal(p, q)
            for p, q in zip(ours.student.network.parameters(), twin.student.network.parameters(), strict=True)
        ]
        assert not any(changed)


def test_every_image_is_seen_before_one_is_seen_again(real, digits):
    learners = real({"method": "scratch", "schedule.batch_size": 50})
    count = len(digits[0].labels)
    labels = torch.cat([learners.draw_batch()[1] for _ in range(2 * count // 50)])[:count]
    assert torch.equal(labels.bincount(), digits[0].labels.bincount())


def test_the_student_starts_as_its_data_free_sibling(tiny, real, teacher):
    sibling = Learners(tiny(), teacher=teacher, device=CPU)
    for p, q in zip(
        real({"method": "scratch"}).student.network.parameters(), sibling.student.network.parameters(), strict=True
    ):
        assert torch.equal(p, q)


@pytest.mark.parametrize(("method", "given"), [("dfkd_fgvc", True), ("scratch", False), ("real_kd", False)])
def test_real_images_are_for_the_methods_that_need_them(tiny, teacher, digits, method, given):
    train = digits[0] if given else None
    with pytest.raises(ValueError, match=r"`train` must be given to scratch and real_kd alone"):
        next(distill(tiny({"method": method}), teacher=teacher, test=digits[1], train=train, device=CPU))


def test_what_has_no_effect_on_real_images_is_no_part_of_the_identity(tiny):
    unused = {
        "generator.learning_rate": 0.5,
        "generator_loss.batch_norm.weight": 2.0,
        "student_loss.mhad.weight": 3.0,
        "schedule.generator_steps": 9,
        "schedule.phases": "staged",
        "teacher.epochs": 9,
    }
    for method in METHODS:
        plain = canonical(tiny({"method": method}))
        assert plain["method"] == method
        assert canonical(tiny({"method": method, **unused})) == plain
        # The crop of the training images matters, and so does the temperature where there is a teacher.
        assert canonical(tiny({"method": method, "teacher.crop_padding": 2})) != plain
        warmer = canonical(tiny({"method": method, "student_loss.distillation.temperature": 4.0}))
        assert (warmer != plain) == (method == "real_kd")
