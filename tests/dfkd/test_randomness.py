"""Named streams: the same numbers in every process, whatever else was drawn."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import dfkd
from dfkd.randomness import generator, stream

PROGRAM = """
import torch
torch.set_num_threads(1)
torch.manual_seed({noise})
from dfkd.config import RunConfig
from dfkd.models import build_classifier
from dfkd.models.auxiliary import build_auxiliary
from dfkd.models.generator import AttentionGenerator
from dfkd.randomness import generator
from dfkd.teacher import state_hash
config = RunConfig()
student, teacher = (
    build_classifier("resnet8", classes=3, image_size=16, seed=5, role=r) for r in ("student", "teacher")
)
modules = [student.network, teacher.network, build_auxiliary(config, teacher=teacher, student=student),
           AttentionGenerator(config.generator, image_size=16, seed=5)]
print(*(state_hash(m.state_dict()) for m in modules), torch.randn(4, generator=generator(5, "noise")).tolist())
"""


def test_another_process_builds_the_same_networks_and_noise(capsys):
    exec(PROGRAM.format(noise=1), {})
    here = capsys.readouterr().out
    there = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(noise=2)],
        cwd=Path(dfkd.__file__).parent.parent,
        env={**os.environ, "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert here == there


@given(st.integers(0, 2**31), st.text(max_size=20), st.text(max_size=20))
def test_a_stream_is_a_valid_seed_and_differs_by_seed_and_name(seed, name, other):
    assert 0 <= stream(seed, name) < 2**63
    assert stream(seed, name) != stream(seed + 1, name)
    assert (stream(seed, name) == stream(seed, other)) == (name == other)


def test_generators_do_not_share_state():
    torch.rand(3, generator=(one := generator(0, "noise")))
    assert not torch.equal(one.get_state(), generator(0, "noise").get_state())


@pytest.mark.parametrize("module", ["dfkd", "dfkd.config", "dfkd.overrides"])
def test_planning_does_not_import_torch(module):
    subprocess.run(
        [sys.executable, "-c", f"import sys, {module}; assert 'torch' not in sys.modules"],
        cwd=Path(dfkd.__file__).parent.parent,
        check=True,
    )
