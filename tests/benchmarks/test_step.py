"""The benchmark of the step runs, and times what it was told to."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import benchmarks
from benchmarks import step
from dfkd import allocation

TINY = ["data.dataset=digits", "data.image_size=16", "teacher.architecture=resnet8", "student.architecture=resnet8"]


@pytest.fixture
def bench(monkeypatch, tmp_path, capsys):
    """Return ``bench(*arguments)``: the JSON and what was printed."""

    def run(*arguments):
        sets = [part for setting in [*TINY, "schedule.batch_size=2"] for part in ("--set", setting)]
        out = ["--classes", "3", "--rounds", "2", "--warm-up", "0", "--out", str(tmp_path / "x.json")]
        monkeypatch.setattr(sys, "argv", ["step", *sets, *out, *arguments])
        step.main()
        return json.loads((tmp_path / "x.json").read_text()), capsys.readouterr().out

    return run


def test_variants_are_timed_side_by_side(bench):
    off = ["student_loss.mhad.weight=0", "student_loss.sfcl.weight=0"]
    content, printed = bench("--variant", "baseline", *off, "--variant", "full")
    assert [row["variant"] for row in content["rows"]] == ["baseline", "full"]
    assert content["rows"][0]["student_step_ratio"] == 1
    assert all(row["generator_step_seconds"] > 0 and row["peak_memory_bytes"] > 2**20 for row in content["rows"])
    assert content["environment"]["rounds"] == 2
    assert "| baseline |" in printed


def test_a_variant_is_the_configuration_it_says(bench, monkeypatch):
    seen = []
    real = step.generator_step
    monkeypatch.setattr(
        step,
        "generator_step",
        lambda config, learners: seen.append(config.student_loss.mhad.weight) or real(config, learners),
    )
    bench("--variant", "off", "student_loss.mhad.weight=0", "--variant", "on")
    assert seen == [0, 10] * 2  # in turn, two rounds


def test_without_variants_the_configuration_itself_is_timed(bench):
    content, _ = bench()
    assert [row["variant"] for row in content["rows"]] == ["as configured"]


def test_variants_may_differ_in_how_their_steps_are_run(bench, monkeypatch):
    made = []
    real = step.Learners
    monkeypatch.setattr(step, "Learners", lambda *a, **k: made.append(k) or real(*a, **k))
    bench("--variant", "plain", "engine=eager", "--variant", "lean", "checkpoint_activations=true")
    assert [each.get("checkpoint_activations") for each in made] == [None, True]
    with pytest.raises(SystemExit, match="engine must be one of eager, compile, graphs, not turbo"):
        bench("--variant", "fast", "engine=turbo")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_step_of_each_kind_at_224_px_and_batch_4_stays_within_12_gib(tmp_path):
    # ResNet-34 to ResNet-18 are the defaults. In a process of its own, so that the peak is of nothing else.
    sets = ["--set", "data.image_size=224", "--set", "schedule.batch_size=4"]
    command = [sys.executable, "-m", "benchmarks.step", *sets, "--rounds", "1", "--warm-up", "0"]
    root = Path(benchmarks.__file__).parent.parent
    subprocess.run([*command, "--out", str(tmp_path / "x.json")], cwd=root, check=True, capture_output=True)
    (row,) = json.loads((tmp_path / "x.json").read_text())["rows"]
    # No less than the numbers of 4 bytes that must be there: the generator's 27.4 M weights with their gradient and two
    # moments, ResNet-34's 21.4 M, ResNet-18's 11.3 M with gradient and momentum: 4 (4 * 27.4 + 21.4 + 3 * 11.3) MB.
    assert 4e6 * (4 * 27.4 + 21.4 + 3 * 11.3) < row["peak_memory_bytes"] < 12 * 2**30


def test_memory_is_kept_unless_it_is_not_to_be(bench, monkeypatch):
    seen = []
    real = step.generator_step
    monkeypatch.setattr(step, "generator_step", lambda *given: seen.append(allocation._keeping) or real(*given))
    assert bench()[0]["kept_memory"]
    assert not bench("--without-kept-memory")[0]["kept_memory"]
    expected = 1 if allocation._glibc() else 0
    assert seen == [expected, expected, 0, 0]  # two rounds each
