"""What cells are given besides their configuration, and what a user is told of the machine."""

import pytest
import torch

from dfkd.config import RunConfig
from dfkd.overrides import with_overrides
from harness.devices import slow_arithmetic

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
