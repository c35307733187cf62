"""Attention that is trained with the teacher, and what L_MHAD does with it."""

import pytest
import torch

from dfkd.errors import CheckpointError, ConfigError
from dfkd.files import load, save
from dfkd.learners import Learners
from dfkd.loop import distill
from dfkd.models.auxiliary import build_auxiliary
from dfkd.teacher import describe_teacher, load_teacher, train_teacher
from records import numbers, same

CPU = torch.device("cpu")
TRAINED = {"teacher.attention": "1+2", "teacher.attention_epochs": 2}
USED = TRAINED | {"student_loss.mhad.attention": "teacher", "student_loss.mhad.orders": "1+2"}


@pytest.fixture(scope="module")
def attentive_path(tiny, digits, tmp_path_factory):
    """Return the checkpoint of a teacher with attention."""
    path = tmp_path_factory.mktemp("attentive") / "teacher.pt"
    list(train_teacher(tiny(TRAINED), train=digits[0], test=digits[1], device=CPU, path=path))
    return path


@pytest.fixture
def attentive(tiny, attentive_path):
    return load_teacher(tiny(TRAINED), attentive_path, class_names=("0", "1", "2"))


def test_the_network_is_that_of_a_teacher_without_attention_and_the_hash_is_not(attentive, teacher):
    state, plain = attentive.classifier.network.state_dict(), teacher.classifier.network.state_dict()
    assert all(torch.equal(state[name], plain[name]) for name in plain)
    assert attentive.hash != teacher.hash
    assert teacher.attention is None


def test_it_is_trained_by_the_epoch_and_the_same_each_time(tiny, digits, attentive, tmp_path):
    for epochs in (1, 2):
        settings = tiny(TRAINED | {"teacher.attention_epochs": epochs})
        path = tmp_path / f"{epochs}.pt"
        list(train_teacher(settings, train=digits[0], test=digits[1], device=CPU, path=path))
    first, second = (describe_teacher(tmp_path / f"{epochs}.pt")["hash"] for epochs in (1, 2))
    assert first != second == attentive.hash


def test_the_teachers_side_has_its_weights_and_nobody_trains_them(tiny, attentive):
    mhad = Learners(tiny(USED), teacher=attentive, device=CPU).auxiliary["mhad"]
    names = [name for name, _ in mhad.attentions.named_parameters()]
    assert sorted(names) == sorted(attentive.attention.state)
    assert all(torch.equal(mhad.attentions.state_dict()[name], attentive.attention.state[name]) for name in names)
    assert not any(p.requires_grad for p in mhad.attentions.parameters())
    assert mhad.student_attentions is None


def test_one_stage_takes_its_own_weights(tiny, attentive):
    config = tiny(USED | {"student_loss.mhad.stages": "3"})
    (attention,) = Learners(config, teacher=attentive, device=CPU).auxiliary["mhad"].attentions
    assert torch.equal(attention.factors.weight, attentive.attention.state["2.factors.weight"])


def test_a_run_with_it_resumes_to_the_same_numbers_and_state(tiny, attentive, digits, tmp_path):
    def records(name):
        return distill(tiny(USED), teacher=attentive, test=digits[1], device=CPU, state_path=tmp_path / name)

    whole = list(records("whole.pt"))
    first = records("parts.pt")
    next(first)
    first.close()
    assert numbers(records("parts.pt")) == numbers(whole)
    one, other = (torch.load(tmp_path / name, weights_only=True) for name in ("whole.pt", "parts.pt"))
    assert numbers(one.pop("history")) == numbers(other.pop("history"))
    assert same(one, other)
    # The teacher's side is in the state, as it was trained with the teacher, and still so at the end of the run.
    for name, value in attentive.attention.state.items():
        assert torch.equal(other["auxiliary"][f"mhad.attentions.{name}"], value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"student_loss.mhad.orders": "1+2+3"}, r"`student_loss.mhad.orders` must be that .*, 1\+2, but it is 1\+2\+3"),
        ({"student_loss.mhad.reduction": 2}, r"`student_loss.mhad.reduction` must be that .*, 4, but it is 2"),
        ({"student_loss.mhad.activation": "after_sum"}, r"`student_loss.mhad.activation` .*per_order, but it is after"),
        ({"student_loss.mhad.stages": "penultimate"}, r"must be compared at stages.*penultimate feature"),
    ],
)
def test_another_attention_than_the_teachers_is_refused(tiny, attentive, overrides, message):
    with pytest.raises(ConfigError, match=message):
        Learners(tiny(USED | overrides), teacher=attentive, device=CPU)


def test_a_teacher_without_attention_is_refused(tiny, teacher):
    classifier = teacher.classifier
    with pytest.raises(ConfigError, match=r"must have been trained with an attention.*teacher\.attention=1\+2"):
        build_auxiliary(tiny(USED), teacher=classifier, student=classifier, pretrained=teacher.attention)


def test_an_altered_attention_is_refused(tiny, attentive_path, tmp_path):
    content = load(attentive_path, what="", way_out="")
    content["attention"]["state"]["0.factors.weight"][0] += 1
    save(content, tmp_path / "altered.pt")
    with pytest.raises(CheckpointError, match="must match the hash"):
        load_teacher(tiny(TRAINED), tmp_path / "altered.pt", class_names=("0", "1", "2"))
