"""What every data-free method must keep to, whatever it is made of."""

import math
from dataclasses import replace

import pytest
import torch

import dfkd.real_batches
from dfkd.config import METHODS, REAL_METHODS
from dfkd.data.datasets import DATASETS
from dfkd.errors import ConfigError
from dfkd.learners import Learners
from dfkd.loop import distill
from dfkd.overrides import flatten, with_overrides
from dfkd.state import read_state, sample_grid
from dfkd.steps import generator_step, student_step
from records import numbers, same
from search_spaces import load_method

CPU = torch.device("cpu")
DATA_FREE = tuple(method for method in METHODS if method not in REAL_METHODS)

SMALL = {
    "student_loss.sfcl.hidden_size": 16,
    "student_loss.sfcl.projection_size": 8,
    "schedule.epochs": 2,
    "schedule.iterations_per_epoch": 1,
    "schedule.generator_steps": 2,
    "schedule.student_steps": 2,
}
"""Above a method's preset: two short rounds, so that one can be stopped between them."""


@pytest.fixture
def preset(tiny):
    """Return ``preset(method, overrides)``: three digits, the method's preset, then SMALL and the overrides."""
    return lambda method, overrides={}: with_overrides(
        tiny(), {**load_method(method).overrides, "method": method, **SMALL, **overrides}
    )


def terms_on(config):
    """Return the loss terms of a configuration that have a weight."""
    suffix = ".weight"
    return {
        key.removesuffix(suffix)
        for key, value in flatten(config).items()
        if key.endswith(suffix) and key.count(".") == 2 and "_loss." in key and value > 0
    }


def one_round(config, learners):
    """Take a round's synthesis steps and a student step; return what they measured last."""
    measured = {}
    for step, count in ((generator_step, config.schedule.generator_steps), (student_step, 1)):
        for _ in range(count):
            measured |= step(config, learners)
    return measured


@pytest.mark.parametrize("method", DATA_FREE)
class TestMethod:
    def test_its_record_has_its_terms_and_no_other_and_every_number_is_finite(self, preset, method, teacher, digits):
        config = preset(method)
        *_, record = distill(config, teacher=teacher, test=digits[1], device=CPU)
        assert {key for key in record if "_loss." in key} == terms_on(config)
        recalled = {"replay.reconstruction", "replay.prior"} if config.replay.kind == "autoencoder" else set()
        assert {key for key in record if key.startswith("replay.")} == recalled
        assert all(math.isfinite(value) for value in record.values())

    def test_it_goes_on_to_the_same_bits_and_its_state_can_be_drawn(self, preset, method, teacher, digits, tmp_path):
        config, path, once = preset(method), tmp_path / "state.pt", tmp_path / "whole" / "state.pt"
        whole = list(distill(config, teacher=teacher, test=digits[1], device=CPU, state_path=once))
        stopped = distill(config, teacher=teacher, test=digits[1], device=CPU, state_path=path)
        next(stopped)
        stopped.close()
        resumed = list(distill(config, teacher=teacher, test=digits[1], device=CPU, state_path=path))
        assert numbers(resumed) == numbers(whole)
        one, other = ({**read_state(each), "history": None} for each in (once, path))
        assert same(one, other)  # weights, optimisers, memories and streams
        assert sample_grid(read_state(path), config, count=4, columns=2).shape == (3, 38, 38)  # 2 x (16 + 2) + 2

    @pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=pytest.mark.slow)])
    def test_it_runs_with_colours_last_and_goes_on(self, preset, method, teacher, digits, tmp_path, precision):
        config = preset(method, {"compute.channels_last": True, "compute.precision": precision})
        whole = list(distill(config, teacher=teacher, test=digits[1], device=CPU, state_path=tmp_path / "state.pt"))
        assert all(math.isfinite(value) for record in whole for value in record.values())
        again = list(distill(config, teacher=teacher, test=digits[1], device=CPU, state_path=tmp_path / "state.pt"))
        assert again == whole

    def test_it_never_looks_for_a_real_image(self, preset, method, teacher, digits, monkeypatch):
        config = preset(method, {"schedule.epochs": 1})
        with pytest.raises(ValueError, match="`train` must be given to"):
            next(distill(config, teacher=teacher, test=digits[1], train=digits[0], device=CPU))

        def real(*arguments, **settings):
            raise AssertionError("a real image was asked for")

        loaders = {name: real for name in ("load", "load_whole", "list_split")}
        monkeypatch.setitem(DATASETS, "digits", replace(DATASETS["digits"], **loaders))
        monkeypatch.setattr(dfkd.real_batches, "prepared", real)
        black = replace(digits[1], images=torch.zeros_like(digits[1].images))
        runs = [list(distill(config, teacher=teacher, test=test, device=CPU)) for test in (digits[1], black)]
        # The test images are measured on, and move nothing else.
        seen, unseen = ([{**record, "test_accuracy": None} for record in numbers(run)] for run in runs)
        assert seen == unseen

    def test_each_of_its_terms_is_off_at_weight_zero(self, preset, method, teacher):
        whole = preset(method)
        for term in sorted(terms_on(whole)):
            side = term.partition(".")[0]
            if [other.partition(".")[0] for other in terms_on(whole)].count(side) == 1:
                # The only one: without it there is nothing to learn.
                with pytest.raises(ConfigError, match="at least one term of positive weight"):
                    preset(method, {f"{term}.weight": 0.0})
                continue
            config = preset(method, {f"{term}.weight": 0.0})
            learners = Learners(config, teacher=teacher, device=CPU)
            assert term not in one_round(config, learners)

    @pytest.mark.parametrize("certainty", [1000.0, 0.0], ids=["one class", "no class"])
    def test_it_survives_batches_in_which_one_class_appears_or_none(self, preset, method, teacher, certainty):
        # A teacher that always says 0, so surely that the other probabilities underflow; or that gives all the same.
        head = teacher.classifier.network.get_submodule(teacher.classifier.head)
        with torch.no_grad():
            head.weight.zero_()
            head.bias.copy_(torch.tensor([certainty, 0.0, 0.0]))
        config = preset(method)
        learners = Learners(config, teacher=teacher, device=CPU)
        for _ in range(2):
            measured = one_round(config, learners)
            assert all(torch.isfinite(value).all() for value in measured.values()), measured
        assert measured["synthetic.class_shares"].tolist() == [1, 0, 0]
        weights = learners.student.network.state_dict().values()
        assert all(torch.isfinite(value).all() for value in weights)
