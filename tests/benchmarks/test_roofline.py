"""What the roofline counts and says."""

import json
import sys

import pytest
import torch

from benchmarks import profile_step, roofline

TINY = ["data.dataset=digits", "data.image_size=16", "teacher.architecture=resnet8", "student.architecture=resnet8"]


def test_traffic_is_what_operations_read_and_write():
    a, b = torch.ones(4, 8), torch.ones(8, 2)
    with roofline.TrafficCounter() as traffic:
        a @ b
    # 32 + 16 numbers read, 8 written, of four bytes each
    assert traffic.bytes == (32 + 16 + 8) * 4


def test_views_and_empty_memory_are_no_traffic():
    with roofline.TrafficCounter() as traffic:
        view = torch.empty(100).view(10, 10).T
    assert view.shape == (10, 10)
    assert traffic.bytes == 0


def test_bounds_and_shares_by_hand():
    ceiling = {"matrix_product": 100.0, "convolution": 50.0, "memory": 10.0}
    said = roofline.against(ceiling, {"operations": 200.0, "bytes": 10.0, "seconds": 8.0})
    # 200 / 100 and 10 / 10 seconds; 200 / 8 = 25 operations and 10 / 8 = 1.25 bytes a second
    assert (said["arithmetic_seconds"], said["traffic_seconds"]) == (2, 1)
    assert (said["share_of_matrix_product"], said["share_of_convolution"]) == (0.25, 0.5)
    assert said["share_of_memory"] == 0.125
    # Where convolutions run at twice the product's speed, they are the bound: 200 / 200.
    said = roofline.against(ceiling | {"convolution": 200.0}, {"operations": 200.0, "bytes": 10.0, "seconds": 8.0})
    assert said["arithmetic_seconds"] == 1


@pytest.fixture
def arguments(monkeypatch):
    def give(program, *more):
        sets = [part for setting in [*TINY, "schedule.batch_size=2"] for part in ("--set", setting)]
        monkeypatch.setattr(sys, "argv", [program, "--classes", "3", "--rounds", "1", *sets, *more])

    return give


def test_a_step_is_counted(arguments, tmp_path, capsys):
    arguments("roofline", "--out", str(tmp_path / "x.json"))
    roofline.main()
    steps = json.loads((tmp_path / "x.json").read_text())["steps"]
    # The generator's step goes back through both networks, which the student's goes through once.
    assert steps["generator"]["operations"] > steps["student"]["operations"] > 1e6
    assert "| generator |" in capsys.readouterr().out


def test_the_profile_names_operations_of_both_steps(arguments, capsys):
    arguments("profile_step")
    profile_step.main()
    printed = capsys.readouterr().out
    assert printed.count("convolution") >= 2
    assert "Generator step, 1 of them" in printed
    assert "Student step, 1 of them" in printed
