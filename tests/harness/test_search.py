"""A search: what it suggests, what enters its study, when it stops, and what it looks at."""

import itertools
import json
import math
import time

import optuna
import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState

from dfkd.errors import ConfigError
from harness.search.loop import Limits, Search
from harness.search.objectives import OBJECTIVES, Finished, parse_objectives
from harness.search.ranking import best_trials, distinct_best
from harness.search.study import open_study
from harness.search.suggest import NAMES, suggest
from searching import BETA, GAMMA, ORDERS, Bench, Killed, bowl, finish, points, states

ACCURACY = (OBJECTIVES["accuracy"],)
COMPLETE, FAIL, RUNNING = TrialState.COMPLETE, TrialState.FAIL, TrialState.RUNNING


@pytest.fixture
def bench(tmp_path):
    """A search over two weights and, where the first is positive, the orders."""
    return Bench(tmp_path / "runs")


def made_trial(*values, cell="a"):
    return optuna.trial.create_trial(values=values, user_attrs={"cell": cell})


class TestSuggestions:
    def test_the_first_trial_is_the_configuration_as_it_is(self, bench):
        assert bench.run(1)[0].params == {BETA: 10.0, GAMMA: 8.0, ORDERS: "1+2+3"}

    def test_a_known_optimum_is_found(self, bench):
        trials = bench.run(40)
        assert max(trial.value for trial in trials) > 0.98

    @pytest.mark.parametrize(
        "sampler", [pytest.param(name, marks=pytest.mark.slow) if name == "gp" else name for name in NAMES]
    )
    def test_every_suggestion_lies_in_the_space_and_none_depends_on_a_kill(self, tmp_path, sampler):
        whole, broken = Bench(tmp_path / "whole", sampler=sampler), Bench(tmp_path / "broken", sampler=sampler)
        trials = whole.run(20)
        assert all(whole.points.space.fits(trial.params) for trial in trials)
        assert len({json.dumps(trial.params) for trial in trials}) > 15
        for kill in ({"kill_before": 0}, {"kill_after": 3}, {"kill_before": 8}, {"kill_after": 1}):
            with pytest.raises(Killed):
                broken.run(20, **kill)
        assert points(broken.run(20)) == points(trials)

    @pytest.mark.parametrize("sampler", NAMES)
    def test_the_very_first_may_be_the_samplers_own(self, bench, sampler):
        space = bench.points.space
        point, _ = suggest(sampler, space, trials=[], directions=[StudyDirection.MAXIMIZE], seed=0, number=0)
        assert space.fits(point)

    def test_another_seed_suggests_other_points(self, tmp_path):
        one, other = (Bench(tmp_path / str(seed), seed=seed).run(3) for seed in (0, 1))
        assert points(one)[0] == points(other)[0]
        assert points(one)[1] != points(other)[1]


class TestWhatEnters:
    def test_a_failed_cell_is_no_value_and_its_point_is_not_run_again(self, bench):
        def fails(config):
            raise RuntimeError("CUDA out of memory")

        trials = bench.run(1, value=fails)
        assert states(trials) == [FAIL]
        assert trials[0].values is None
        assert trials[0].user_attrs["failure"] == "RuntimeError: CUDA out of memory"

    @pytest.mark.parametrize("wrong", [math.nan, math.inf, None])
    def test_nan_infinity_and_what_was_not_measured_are_no_values(self, bench, wrong):
        trials = bench.run(3, value=lambda config: wrong if config[BETA] == 10 else bowl(config))
        assert states(trials) == [FAIL, COMPLETE, COMPLETE]
        assert "validation accuracy is" in trials[0].user_attrs["failure"]
        assert all(trial.values is None or math.isfinite(trial.value) for trial in trials)

    def test_a_point_that_breaks_a_rule_fails_and_the_search_goes_on(self, tmp_path):
        key = "student_loss.distillation.weight"
        text = f'[base]\n"{BETA}" = 0.0\n[parameters]\n'
        text += "".join(f'"{each}" = {{ choices = [0.0, 8.0] }}\n' for each in (key, GAMMA))
        bench = Bench(tmp_path / "runs", text=text, sampler="random")
        trials = bench.run(12, value=lambda config: config[GAMMA])
        failed = [trial for trial in trials if trial.state == FAIL]
        assert failed
        assert all(trial.params == {key: 0.0, GAMMA: 0.0} for trial in failed)
        assert "at least one term" in failed[0].user_attrs["failure"]

    def test_a_suggestion_is_answered_from_the_store_and_not_run_twice(self, tmp_path):
        text = f'[parameters]\n"{BETA}" = {{ choices = [0.0, 10.0] }}\n"{ORDERS}" = {{ choices = ["1", "1+2+3"] }}\n'
        bench = Bench(tmp_path / "runs", text=text, sampler="random")
        trials = bench.run(20)
        assert states(trials) == [COMPLETE] * 20
        # beta 10 with either orders, and beta 0, where the orders are of no effect
        assert len(bench.ran) == len(set(bench.ran)) == 3
        assert sum(trial.user_attrs["answered"] for trial in trials) == 17
        values = {trial.user_attrs["cell"]: trial.value for trial in trials}
        assert all(trial.value == values[trial.user_attrs["cell"]] for trial in trials)

    def test_two_trials_at_once_on_one_cell_share_its_value(self, tmp_path):
        text = f'[parameters]\n"{BETA}" = {{ choices = [0.0, 10.0] }}\n'
        bench = Bench(tmp_path / "runs", text=text, sampler="random")
        with pytest.raises(Killed):
            bench.run(8, kill_before=0)
        # In the middle of the first cell: as two slots would, ask on until nothing new is left.
        with open_study(bench.root / "studies/s", space=bench.points.space, directions=["maximize"]) as study:
            search = Search(
                study, bench.points, bench.store, objectives=ACCURACY, sampler="random", seed=0, limits=Limits(8)
            )
            cells = [search.next_cell(), search.next_cell(), search.next_cell()]
            assert cells[2] is None
            assert states(study.trials) == [RUNNING] * 8
            for number, cell in enumerate(cells[:2]):
                finish(bench.store, cell, float(number))
                search.done(cell)
            assert states(study.trials) == [COMPLETE] * 8


class TestStops:
    def test_when_the_last_trials_brought_no_more_than_noise(self, bench):
        trials = bench.run(50, value=lambda config: 0.5, patience=4, noise=0.01)
        assert len(trials) == 5  # one to compare with, and four
        assert "last 4 trials" in bench.stopped
        more = bench.run(50, value=lambda config: 0.6, patience=6, noise=0.01)
        # five of 0.5, one of 0.6 to compare with, and six
        assert len(more) == 12

    def test_failed_trials_count_as_no_progress(self, bench):
        def fails_but_first(config):
            if config[BETA] != 10:
                raise RuntimeError("no")
            return 0.5

        assert len(bench.run(50, value=fails_but_first, patience=3, noise=0.0)) == 4

    def test_when_the_time_is_spent(self, bench):
        bench.run(50, deadline=time.monotonic() - 1)
        assert bench.ran == []
        assert bench.stopped == "the time budget is spent"

    def test_what_is_under_way_is_finished_nevertheless(self, bench):
        with pytest.raises(Killed):
            bench.run(50, kill_before=0)
        trials = bench.run(50, deadline=time.monotonic() - 1)
        assert states(trials) == [COMPLETE]


class TestObjectives:
    def test_none_reads_the_test_split(self, bench):
        record = {"test_accuracy": 0.9, "validation_accuracy": 0.5, "synthetic.agreement": 0.7}
        result = {"last": 0.9, "best_on_test": 0.9, "final_mean": 0.9, "images_per_second": 3.0, "validation_last": 0.5}
        config = {"student.architecture": "vgg11", "data.image_size": 32}
        done = Finished(record, result, config, classes=10)
        # VGG-11's convolutions with biases and batch norms, and one linear layer
        shapes = [3, 64, 128, 256, 256, 512, 512, 512, 512]
        convolutions = sum(9 * a * b + b + 2 * b for a, b in itertools.pairwise(shapes))
        assert [each.read(done) for each in OBJECTIVES.values()] == [0.5, 0.7, 3.0, convolutions + 512 * 10 + 10]

    def test_several_give_the_trials_that_none_beats(self, bench):
        trials = bench.run(6, objectives=("accuracy", "images_per_second"))
        assert all(len(trial.values) == 2 for trial in trials)

        made = [made_trial(*values) for values in ([1, 3], [3, 1], [1, 1], [2, 1], [1, 3])]
        great = (OBJECTIVES["accuracy"], OBJECTIVES["images_per_second"])
        assert [trial.values for trial in best_trials(made, great)] == [[3, 1], [1, 3], [1, 3]]
        small = (OBJECTIVES["accuracy"], OBJECTIVES["parameters"])
        assert [trial.values for trial in best_trials(made, small)] == [[3, 1]]
        assert [trial.values for trial in best_trials([*made, made_trial(2, 0)], small)] == [[3, 1], [2, 0]]

    def test_the_best_to_try_again_are_of_different_cells(self):
        made = [made_trial(value, cell=cell) for value, cell in ((1, "a"), (4, "b"), (3, "c"), (4, "b"), (2, "d"))]
        best = distinct_best(made, ACCURACY, count=2, besides="c")
        assert [trial.user_attrs["cell"] for trial in best] == ["b", "d"]

    def test_the_smallest_student_as_accurate_is_found(self, tmp_path):
        text = '[parameters]\n"student.architecture" = { choices = ["resnet8", "resnet14", "resnet20"] }\n'
        bench = Bench(tmp_path / "runs", text=text, sampler="nsga2")
        accuracies = {"resnet8": 0.5, "resnet14": 0.7, "resnet20": 0.7, "resnet18": 0.6}
        trials = bench.run(
            20, value=lambda c: accuracies[c["student.architecture"]], objectives=("accuracy", "parameters")
        )
        front = best_trials(trials, (OBJECTIVES["accuracy"], OBJECTIVES["parameters"]))
        assert {trial.params["student.architecture"] for trial in front} == {"resnet8", "resnet14"}

    @pytest.mark.parametrize("text", ["parameters", "images_per_second,parameters"])
    def test_costs_alone_are_refused(self, text):
        with pytest.raises(ConfigError, match=f"--objectives accuracy,{text}"):
            parse_objectives(text)

    @pytest.mark.parametrize("text", ["test_accuracy", "acuracy", "accuracy,accuracy", ""])
    def test_unknown_or_repeated_ones_are_refused(self, text):
        with pytest.raises(ConfigError, match="--objectives"):
            parse_objectives(text)
