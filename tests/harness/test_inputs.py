"""What cells are given besides their configuration, and what a user is told of the machine."""

import pytest
import torch

from dfkd.config import RunConfig
from dfkd.overrides import with_overrides
from harness.devices import slow_arithmetic
from outcome import refused
from small import sets

BFLOAT16 = with_overrides(RunConfig(), {"compute.precision": "bfloat16"})


@pytest.mark.parametrize(
    ("capability", "device", "config", "warned"),
    [
        ("AVX2", "cpu", BFLOAT16, True),
        ("DEFAULT", "cpu", BFLOAT16, True),
        ("AVX512", "cpu", BFLOAT16, False),
        ("AVX2", "cuda", BFLOAT16, False),
        ("AVX2", "cpu", RunConfig(), False),
    ],
)
def test_bfloat16_on_a_processor_without_its_kernels_is_warned_of(monkeypatch, capability, device, config, warned):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    warning = slow_arithmetic(config, device)
    assert (warning is not None) == warned
    assert warning is None or "Leave out `--set compute.precision=bfloat16`" in warning


def test_networks_that_do_not_fit_are_refused_before_anything_runs(run, store):
    settings = [setting.replace("student.architecture=resnet8", "student.architecture=resnet18") for setting in sets()]
    settings += ["--set", "student_loss.mhad.stages=all"]
    outcome = run("ablate", "table3", "--budget", "smoke", "--store", str(store), *settings)
    refused(outcome, "same number of stages", "resnet8", "resnet18", "student_loss.mhad.stages=penultimate")
    assert not (store / "cells").exists()


@pytest.mark.parametrize("stages", ["9", "2+4"])
def test_a_stage_that_does_not_exist_is_refused_before_anything_runs(run, store, stages):
    settings = sets(f"student_loss.mhad.stages={stages}")
    outcome = run("ablate", "table3", "--budget", "smoke", "--store", str(store), *settings)
    refused(outcome, "stages that both networks have, 1 to 3", repr(stages), "resnet8 has 3", "stages=penultimate")
    assert not (store / "cells").exists()


def test_networks_that_do_not_fit_are_refused_before_the_teacher_is_trained(run, tmp_path):
    plan = ["plan", "table3", "--budget", "smoke", "--store", str(tmp_path), *sets()]
    refused(run(*plan, "--set", "student_loss.mhad.stages=9"), "1 to 3", "'9'", "stages=penultimate")
    attended = ["--set", "student_loss.mhad.attention=teacher"]
    refused(run(*plan, *attended), "must have been trained with an attention", "--set teacher.attention=1+2+3")
    assert run(*plan, *attended, "--set", "teacher.attention=1+2+3")[0] == 0
