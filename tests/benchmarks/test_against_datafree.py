"""The comparison with DataFree, without DataFree: our side stands on both sides."""

import argparse
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import against_datafree as bench

TINY = argparse.Namespace(teacher="resnet8", student="resnet8", image_size=16, batch_size=2, classes=3)


def side(own=()):
    return bench.our_side(TINY, ("data.dataset=digits", *own))


def test_equal_sides_end_equal():
    assert set(bench.compare(side(), side()).values()) == {0.0}


def test_another_loss_weight_shows_in_the_generator_alone():
    found = bench.compare(side(), side(("generator_loss.batch_norm.weight=0.6",)))
    assert found["student_loss"] == found["student_weights"] == 0
    assert min(found["generator_loss"], found["generator_weights"]) > 0.01
    assert 0 < found["generator_weights_apart"] <= 1


def test_both_sides_draw_the_same_noise():
    """DataFree calls torch.randn(size=..., device=...): the default stream, in the batch's shape."""
    ours = side()
    torch.manual_seed(3)
    drawn = ours.learners.synthesizer.latents.draw(ours.config.schedule.batch_size)[0]
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.randn(size=(2, 256), device="cpu"))


def test_a_folder_that_is_no_clone_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["against_datafree", "--checkout", str(tmp_path)])
    with pytest.raises(SystemExit, match="clone of DataFree"):
        bench.main()


def test_a_side_in_a_process_of_its_own_takes_the_steps_that_are_ordered():
    arguments = argparse.Namespace(**vars(TINY), threads=1, checkout=None)
    with bench.serving(arguments, bench.PLAIN) as order:
        assert all(0 < order(kind) < 60 for kind in bench.KINDS)


def test_a_side_that_cannot_be_built_ends_the_comparison():
    arguments = argparse.Namespace(**vars(TINY), threads=1, checkout=Path("nowhere"))
    with pytest.raises(EOFError), bench.serving(arguments, bench.REFERENCE):
        pass


def test_the_table_names_every_side(capsys):
    times = {"generator_step_seconds": 1.0, "student_step_seconds": 0.5}
    ratios = {"generator_step_times_as_fast": 1.7, "student_step_times_as_fast": 1.3}
    bench.print_table({bench.REFERENCE: times | ratios, bench.PLAIN: times | ratios})
    assert "| ours, float32 | 1.000 | 0.500 | 1.70, 1.30 |" in capsys.readouterr().out
    memory = {"peak_memory_bytes": 2.0**30, "step_memory_bytes": 2.0**29}
    shares = {"peak_memory_bytes_share": 1.0, "step_memory_bytes_share": 0.7}
    bench.print_table({bench.REFERENCE: memory | shares})
    assert "| DataFree, float32 | 1.00 | 1.00 | 0.50 | 0.70 |" in capsys.readouterr().out
