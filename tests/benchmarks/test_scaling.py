"""The benchmark of how a step's cost grows: its points are what they say, and its table holds what was measured."""

import json
import sys

import pytest

from benchmarks import scaling, step
from small import sets

TINY = ("data.dataset=digits", "teacher.architecture=resnet8", "student.architecture=resnet8")
SIZES = ["--image-size", "16", "--batch-size", "2", "--classes", "3", "--rounds", "1", "--warm-up", "0"]


@pytest.fixture
def bench(monkeypatch, tmp_path, capsys):
    """Return ``bench(*arguments)``: the JSON and what was printed. Peaks are made up, so that no process is started."""
    monkeypatch.setattr(scaling, "peak_memory", lambda arguments, setting: 2.0**30)

    def run(*arguments):
        given = [part for setting in TINY for part in ("--set", setting)]
        monkeypatch.setattr(sys, "argv", ["scaling", *given, *SIZES, "--out", str(tmp_path / "x.json"), *arguments])
        scaling.main()
        return json.loads((tmp_path / "x.json").read_text()), capsys.readouterr().out

    return run


def test_every_axis_names_settings_that_a_step_takes():
    for axis in scaling.AXES:
        for setting in scaling.AXES[axis][1].values():
            fields, execution = step.split_execution([*TINY, setting])
            assert step.configure(fields)
            assert ("classes" in execution) == (axis == "classes")


def test_an_axis_is_timed_point_by_point(bench, monkeypatch):
    monkeypatch.setitem(scaling.AXES, "batch", ("images", {"2": "schedule.batch_size=2", "4": "schedule.batch_size=4"}))
    seen = []
    real = step.student_step
    monkeypatch.setattr(
        step, "student_step", lambda config, learners: seen.append(config.schedule.batch_size) or real(config, learners)
    )
    content, printed = bench("--over", "batch")
    assert seen == [2, 4]
    (small, large) = content["axes"]["batch"]
    both = large["generator_step_seconds"] + large["student_step_seconds"]
    assert large["seconds_per_image"] == pytest.approx(both / 4)
    assert small["student_step_ratio"] == 1
    assert "| images | generator step (s) |" in printed
    assert "| 1.00, 1.00 | 1.00 |" in printed  # the first point's ratios, and the made-up GiB


def test_the_number_of_classes_reaches_the_networks(monkeypatch):
    made = []
    real = step.build_classifier
    monkeypatch.setattr(step, "build_classifier", lambda *a, **k: made.append(k["classes"]) or real(*a, **k))
    monkeypatch.setattr(
        sys, "argv", ["step", *sets("schedule.batch_size=2"), "--rounds", "1", "--warm-up", "0", "--classes", "3",
                      "--variant", "few", "--variant", "more", "classes=7"],
    )  # fmt: skip
    step.main()
    assert made == [3, 7]


def test_a_number_of_classes_that_is_none_is_refused():
    with pytest.raises(SystemExit, match="classes must be a whole number above 1, not one"):
        step.split_execution(["classes=one"])
