"""The state of a run: a resumed run equals one that never stopped."""

import pytest
import torch

import dfkd.loop
import dfkd.state
from dfkd.errors import CheckpointError
from dfkd.loop import distill
from dfkd.state import read_state, sample_grid
from dfkd.teacher import Teacher
from records import numbers, same

CPU = torch.device("cpu")


@pytest.fixture
def start(tiny, teacher, digits):
    """Return ``start(path, overrides)``: the records of a tiny run, one by one."""
    return lambda path, overrides={}: distill(
        tiny(overrides), teacher=teacher, test=digits[1], device=CPU, state_path=path
    )


def read(path):
    return torch.load(path, weights_only=True)


VARIANTS = {
    "float32": {},
    "bfloat16": {"compute.precision": "bfloat16"},
    "frozen-by-running-statistics": {
        "student.normalisation_when_frozen": "running",
        "generator.normalisation_when_frozen": "running",
    },
    "staged": {"schedule.phases": "staged", "schedule.generator_steps": 2},
    "standardised-reverse": {"generator.output": "standardised", "student_loss.distillation.direction": "reverse"},
    "own-attention-after-sum": {
        "student_loss.mhad.attention": "both",
        "student_loss.mhad.activation": "after_sum",
        "student_loss.mhad.compared": "attention_maps",
    },
    "shared-channels-last": {"student_loss.mhad.attention": "shared", "compute.channels_last": True},
    "batch-norm-in-the-generator": {
        "generator.block_normalisation": "batch",
        "generator.normalisation_when_frozen": "running",
    },
    "constant-rate-own-attention-of-the-student": {
        "generator.schedule": "constant",
        "student_loss.mhad.attention": "student",
    },
    "positions-pixels-sizes-temperatures": {
        "generator.attention.softmax_axis": "positions",
        "generator.attention.reduction": 4,
        "generator.output": "pixels",
        "generator.noise_size": 5,
        "student_loss.mhad.reduction": 2,
        "student_loss.distillation.temperature": 4.0,
        "student_loss.sfcl.temperature": 0.2,
    },
    "two-rounds-of-two-steps": {
        "schedule.iterations_per_epoch": 2,
        "schedule.generator_steps": 2,
        "schedule.student_steps": 2,
    },
    "penultimate": {"student.architecture": "mobilenetv2", "student_loss.mhad.attention": "shared"},
}


SLOW = ("bfloat16", "penultimate")


@pytest.mark.parametrize(
    "variant", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in VARIANTS]
)
@pytest.mark.parametrize("stop", [1, 2])
def test_a_run_that_stopped_after_an_epoch_ends_as_if_it_had_not(start, tmp_path, stop, variant):
    whole = list(start(tmp_path / "whole.pt", VARIANTS[variant]))
    first = start(tmp_path / "parts.pt", VARIANTS[variant])
    records = [next(first) for _ in range(stop)]
    first.close()
    resumed = list(start(tmp_path / "parts.pt", VARIANTS[variant]))
    assert resumed[:stop] == records  # those of the epochs done are yielded again
    assert numbers(resumed) == numbers(whole)
    one, other = read(tmp_path / "whole.pt"), read(tmp_path / "parts.pt")
    assert numbers(one.pop("history")) == numbers(other.pop("history"))
    assert same(one, other)
    assert {"student", "generator", "auxiliary", "student_optimizer", "generator_optimizer", "noise"} <= one.keys()


def test_a_run_that_died_within_an_epoch_does_that_epoch_again(start, tmp_path, monkeypatch):
    two = {"schedule.iterations_per_epoch": 2, "schedule.epochs": 2}
    whole, steps, step = list(start(None, two)), [], dfkd.loop.student_step

    def dies(*args):
        steps.append(None)
        if len(steps) == 4:  # the last of the two of epoch 2
            raise KeyboardInterrupt
        return step(*args)

    monkeypatch.setattr(dfkd.loop, "student_step", dies)
    with pytest.raises(KeyboardInterrupt):
        list(start(tmp_path / "x.pt", two))
    assert len(read(tmp_path / "x.pt")["history"]) == 1
    assert numbers(start(tmp_path / "x.pt", two)) == numbers(whole)


def test_the_state_is_on_disk_before_its_record_is_yielded(start, tmp_path):
    for done, record in enumerate(start(tmp_path / "x.pt"), 1):
        assert read(tmp_path / "x.pt")["history"][-1] == record
        assert len(read(tmp_path / "x.pt")["history"]) == done
    assert [path.name for path in tmp_path.iterdir()] == ["x.pt"]


def test_writing_the_state_changes_no_number(start, tmp_path):
    assert numbers(start(None)) == numbers(start(tmp_path / "x.pt"))


def test_a_finished_run_is_read_and_not_run_again(start, tmp_path, monkeypatch):
    first = list(start(tmp_path / "x.pt"))
    monkeypatch.setattr(dfkd.loop, "_train_epoch", lambda *args: pytest.fail("trained"))
    assert list(start(tmp_path / "x.pt")) == first


def test_a_caller_that_changes_a_record_does_not_change_the_state(start, tmp_path):
    for record in start(tmp_path / "x.pt"):
        record.clear()
    assert [record["epoch"] for record in read(tmp_path / "x.pt")["history"]] == [1, 2, 3]


@pytest.fixture
def state(start, tmp_path):
    """Return the path of the state of a run after its first epoch."""
    next(start(tmp_path / "x.pt"))
    return tmp_path / "x.pt"


@pytest.mark.parametrize("overrides", [{"seed": 1}, {"student_loss.sfcl.weight": 1.0}, {"schedule.epochs": 4}])
def test_a_state_of_another_configuration_is_refused(start, state, overrides):
    before = state.read_bytes()
    with pytest.raises(
        CheckpointError, match=r"must belong to its configuration, .*Delete the file to start this run anew"
    ):
        next(start(state, overrides))
    assert state.read_bytes() == before


def test_a_state_of_another_teacher_is_refused(tiny, teacher, digits, state):
    other = Teacher(teacher.classifier, "another hash", teacher.test_accuracy, teacher.class_names)
    with pytest.raises(CheckpointError, match="another hash"):
        next(distill(tiny(), teacher=other, test=digits[1], device=CPU, state_path=state))


def test_a_state_of_other_numerics_is_refused(start, state, monkeypatch):
    monkeypatch.setattr(dfkd.state, "NUMERICS", -1)
    with pytest.raises(CheckpointError, match="'numerics': -1"):
        next(start(state))


def test_the_teachers_recipe_is_no_part_of_a_states_identity(start, state):
    assert next(start(state, {"teacher.epochs": 7}))["epoch"] == 1


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_a_truncated_state_is_refused(start, state, share):
    content = state.read_bytes()
    state.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match=r"run's state must be a whole checkpoint, but .*Delete the file"):
        next(start(state))


def test_a_checkpoint_that_is_no_state_is_refused(start, teacher_path):
    with pytest.raises(CheckpointError, match="run's state"):
        next(start(teacher_path))
    with pytest.raises(CheckpointError, match="run's state"):
        read_state(teacher_path)


def test_samples_are_one_picture_of_bytes(tiny, state):
    picture = sample_grid(read_state(state), tiny(), count=5, columns=3)
    # Two rows of three 16-pixel images with 2 pixels of padding around and between them: 2 * 18 + 2 by 3 * 18 + 2.
    assert picture.shape == (3, 38, 56)
    assert picture.dtype == torch.uint8
    assert (picture[:, :2] == 255).all()
    assert torch.equal(picture, sample_grid(read_state(state), tiny(), count=5, columns=3))
    assert sample_grid(read_state(state), tiny()).shape == (3, 146, 146)


def test_samples_come_from_the_states_generator(tiny, start, state, tmp_path):
    list(start(tmp_path / "end.pt"))
    assert not torch.equal(
        sample_grid(read_state(state), tiny(), count=4), sample_grid(read_state(tmp_path / "end.pt"), tiny(), count=4)
    )
