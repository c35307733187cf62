"""At which stages two networks are compared, and the messages where they cannot be."""

import pytest
from torch import nn

from dfkd.errors import ConfigError
from dfkd.models import Classifier
from dfkd.models.stages import compared_stages


def network(*sizes):
    """Return a classifier whose stages have maps of these sizes, and nothing behind them."""
    stages = tuple(map(str, range(len(sizes))))
    return Classifier(nn.Identity(), stages, (8,) * len(sizes), sizes, "head", 8)


def compared(tiny, choice, teacher, student):
    config = tiny({"student_loss.mhad.stages": choice, "student.architecture": "wrn16_1"})
    return compared_stages(config, teacher=network(*teacher), student=network(*student))


@pytest.mark.parametrize(
    ("choice", "teacher", "student", "stages"),
    [
        ("auto", (8, 4, 2), (8, 4, 2), (0, 1, 2)),
        ("auto", (8, 4, 2), (8, 4), ()),
        ("auto", (8, 4, 2), (8, 8, 4), ()),
        ("all", (8, 4, 2), (8, 4, 2), (0, 1, 2)),
        ("penultimate", (8, 4, 2), (8, 4, 2), ()),
        ("3", (8, 4, 2), (8, 4, 2), (2,)),
        ("1+3", (8, 4, 2), (8, 4, 2), (0, 2)),
        ("1+2", (8, 4, 2), (8, 4), (0, 1)),
        ("2", (8, 4, 2), (4, 4), (1,)),
    ],
)
def test_stages_by_choice(tiny, choice, teacher, student, stages):
    assert compared(tiny, choice, teacher, student) == stages


WAY_OUT = "Set `student_loss.mhad.stages=penultimate`, or choose another `student.architecture`."


@pytest.mark.parametrize(
    ("choice", "teacher", "student", "rule"),
    [
        ("all", (8, 4, 2), (8, 4), "must have the same number of stages"),
        ("all", (8, 4), (4, 2), "maps of the same sizes"),
        ("3+4", (8, 4, 2), (8, 4, 2), "stages that both networks have, 1 to 3, but it is '3+4'"),
        ("3", (8, 4, 2), (8, 4), "stages that both networks have, 1 to 2, but it is '3'"),
        ("1+2+3", (8, 4, 2), (4, 4, 4), "but it is '1+2+3', and stage 1 and 3 has not"),
    ],
)
def test_stages_that_do_not_exist_or_correspond_are_refused(tiny, choice, teacher, student, rule):
    with pytest.raises(ConfigError) as caught:
        compared(tiny, choice, teacher, student)
    message = str(caught.value)
    told = [f"{n} has {len(s)} ({', '.join(map(str, s))} px)" for n, s in (("resnet8", teacher), ("wrn16_1", student))]
    assert not [text for text in (rule, *told, WAY_OUT) if text not in message], message
