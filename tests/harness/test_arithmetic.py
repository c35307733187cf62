"""`--precision auto`: the fastest is taken, measured once, and said."""

import pytest
from typer.testing import CliRunner

from dfkd.overrides import with_overrides
from harness import arithmetic
from harness.arithmetic import CANDIDATES, Choice, fastest_arithmetic, name
from harness.cli.main import app
from harness.layers import base_config, parse_settings
from small import SMALL, sets


@pytest.fixture
def config():
    return base_config("digits", budget="smoke", settings=parse_settings(SMALL))


@pytest.fixture
def choose(config, tmp_path):
    return lambda **more: fastest_arithmetic(config, **{"device": "cpu", "threads": 1, "folder": tmp_path} | more)


def stand_in(monkeypatch, seconds):
    calls = []

    def measure(configs, device):
        calls.append(list(configs))
        return {key: seconds[key] for key in configs}

    monkeypatch.setattr(arithmetic, "_interleaved", measure)
    return calls


SECONDS = dict(zip(map(name, CANDIDATES), (3.0, 2.0, 1.0), strict=True))


def test_the_fastest_is_chosen_and_measured_once(monkeypatch, choose):
    monkeypatch.setattr(arithmetic, "slow_arithmetic", lambda config, device: None)
    calls = stand_in(monkeypatch, SECONDS)
    first, second = choose(), choose()
    assert first.settings == second.settings == CANDIDATES[2]
    assert (first.remembered, second.remembered) == (False, True)
    assert len(calls) == 1


def test_another_number_of_threads_is_another_machine(monkeypatch, choose):
    calls = stand_in(monkeypatch, SECONDS)
    choose()
    choose(threads=2)
    assert len(calls) == 2


def test_what_the_processor_cannot_do_fast_is_not_tried(monkeypatch, choose):
    monkeypatch.setattr(
        arithmetic, "slow_arithmetic", lambda config, device: "slow" * (config.compute.precision == "bfloat16") or None
    )
    calls = stand_in(monkeypatch, SECONDS)
    assert choose().settings == CANDIDATES[1]
    assert calls == [["float32", "float32, channels_last"]]


def test_a_round_is_the_schedules_steps(monkeypatch, config):
    """4 generator steps of 2 s and 3 student steps of 1 s are 11 s."""
    config = with_overrides(config, {"schedule.generator_steps": 4, "schedule.student_steps": 3})

    class Cost:
        def __init__(self, device):
            pass

        def phase(self, kind):
            return pytest.MonkeyPatch.context()  # any context that does nothing

        def record(self, phases):
            return {"generator_seconds": 2.0, "student_seconds": 1.0}

    monkeypatch.setattr(arithmetic, "EpochCost", Cost)
    assert arithmetic._interleaved({"x": config}, arithmetic.torch.device("cpu")) == {"x": 11.0}


def test_real_steps_are_measured_and_the_settings_can_be_set(choose, config):
    choice = choose()
    assert all(seconds > 0 for seconds in choice.seconds.values())
    assert with_overrides(config, choice.settings).compute.precision in ("float32", "bfloat16")


def test_the_sentence_says_how_to_repeat_it():
    said = Choice(CANDIDATES[1], {"float32": 3.0, "float32, channels_last": 2.0}, remembered=True).sentence()
    assert "float32, channels_last, 2 s a round; float32 3 s (measured here before)" in said
    assert "--set compute.precision=float32 --set compute.channels_last=true" in said


def invoke(*arguments):
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})


def test_the_commands_take_what_is_fastest_and_say_so(monkeypatch, tmp_path):
    stand_in(monkeypatch, SECONDS)
    monkeypatch.setattr(arithmetic, "slow_arithmetic", lambda config, device: None)
    common = ["--dataset", "digits", "--budget", "smoke", "--seeds", "0", "--store", str(tmp_path), *sets()]
    auto = invoke("plan", "table3", "--precision", "auto", *common)
    assert "--precision auto: bfloat16, channels_last, 1 s a round" in auto.stderr
    by_hand = ["--set", "compute.precision=bfloat16", "--set", "compute.channels_last=true"]
    assert invoke("plan", "table3", *common, *by_hand, "--json").stdout == (
        invoke("plan", "table3", "--precision", "auto", *common, "--json").stdout
    )
    assert invoke("plan", "table3", "--precision", "float32", *common, "--json").exit_code == 0


def test_a_precision_that_is_given_twice_is_refused(tmp_path):
    common = ["plan", "table3", "--budget", "smoke", "--store", str(tmp_path), *sets()]
    twice = invoke(*common, "--precision", "float32", "--set", "compute.precision=bfloat16")
    order = invoke(*common, "--precision", "auto", "--set", "compute.channels_last=true")
    assert (twice.exit_code, order.exit_code) == (2, 2)
    assert "`--precision float32` decides `compute.precision`, but it is given with `--set` too" in twice.stderr
    assert "`--precision auto` decides `compute.channels_last`" in order.stderr
