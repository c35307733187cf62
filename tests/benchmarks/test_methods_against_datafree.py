"""The comparison of methods with DataFree, without DataFree: our side stands on both sides."""

import argparse
import json
import sys
from functools import partial

import pytest
import torch

from benchmarks import methods_against_datafree as bench
from dfkd.synthesis.noise import NoiseSynthesis

TINY = argparse.Namespace(image_size=16, batch_size=2, classes=3, checkout=None)


class OtherSide:
    """Our own steps, where DataFree's would be."""

    def __init__(self, method, config, learners, *, checkout, folder):
        self.config, self.learners = bench.our_side(TINY, method)
        bench.use_default_stream(self.learners)
        self.networks = {"generator": self.learners.judges.networks.generator, "student": self.learners.student.network}

    def synthesize(self):
        for _ in range(self.config.schedule.generator_steps):
            bench.generator_step(self.config, self.learners)

    def student_step(self, images):
        if images is not None:
            self.learners.sample = lambda: images
        bench.student_step(self.config, self.learners)


@pytest.mark.parametrize("method", bench.APART)
def test_equal_sides_end_equal(monkeypatch, tmp_path, method):
    monkeypatch.setattr(bench, "MethodSide", partial(OtherSide, method))
    found = bench.compare(TINY, method, tmp_path)
    assert {"student loss 1", "generator loss 1", "student weights moved", "generator weights moved"} <= set(found)
    assert all(ours == theirs != 0 for ours, theirs in found.values())
    assert ("generator loss 2" in found) == (method == "cmi")  # the second round has a bank to differ from


def test_noise_is_of_the_default_stream():
    _, learners = bench.our_side(TINY, "cmi")
    bench.use_default_stream(learners)
    assert isinstance(learners.synthesizer, NoiseSynthesis)
    assert learners.synthesizer.noise is torch.default_generator


@pytest.mark.parametrize(("theirs", "status"), [(2.0, 0), (2.0001, 1)])
def test_losses_that_are_apart_are_an_error_and_the_numbers_are_written(monkeypatch, tmp_path, capsys, theirs, status):
    found = {"student loss 1": (2.0, theirs), "student weights moved": (1.0, 3.0)}
    monkeypatch.setattr(bench, "compare", lambda *arguments: found)
    out = tmp_path / "x.json"
    monkeypatch.setattr(sys, "argv", ["bench", "--checkout", str(tmp_path), "--method", "dfad", "--out", str(out)])
    assert bench.main() == status
    content = json.loads(out.read_text())
    assert [(row["method"], row["datafree"]) for row in content["rows"]] == [("dfad", theirs), ("dfad", 3.0)]
    assert content["environment"]["threads"] == 1
    assert "checkout" not in content["arguments"]
    assert "| dfad | student loss 1 | 2 |" in capsys.readouterr().out


def test_a_folder_that_is_no_clone_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["bench", "--checkout", str(tmp_path)])
    with pytest.raises(SystemExit, match="clone of DataFree"):
        bench.main()
