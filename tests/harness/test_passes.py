"""The cost of methods in passes, by hand and counted while they run, and rows brought to the cost of one."""

import pytest
import torch

import dfkd.steps
from benchmarks.step import learners_of
from dfkd.config import METHODS, REAL_METHODS, RunConfig
from dfkd.errors import ConfigError
from dfkd.loop import epoch_phases
from dfkd.overrides import flatten, with_overrides
from harness.passes import generator_step, matched, passes_of, passes_words, student_step
from harness.plan import expand
from search_spaces import load_grid, load_method

RHYTHM = {
    "schedule.epochs": 2,
    "schedule.iterations_per_epoch": 3,
    "schedule.generator_steps": 5,
    "schedule.student_steps": 7,
    "schedule.batch_size": 11,
}


def of(method, overrides=RHYTHM):
    return with_overrides(RunConfig(), {**load_method(method).overrides, "method": method, **overrides})


@pytest.mark.parametrize(
    ("method", "generator", "student"),
    [
        # Teacher forward and back, student forward and back; then teacher forward, student forward and back.
        ("dfkd_fgvc", 4, 3),
        ("zskt", 4, 3),
        ("dfad", 4, 3),
        ("dfq", 4, 3),
        ("mad", 4, 3),
        ("dafl", 2, 3),  # the generator does not ask the student
        ("zskd", 2, 3),
        ("adi", 4, 3),
        ("cmi", 6, 3),  # the teacher looks at two views of each image
        ("scratch", 0, 2),
        ("real_kd", 0, 3),
    ],
)
def test_a_run_costs_its_steps(method, generator, student):
    config = of(method)
    assert (generator_step(config).total, student_step(config).total) == (generator, student)
    assert passes_of(config) == 2 * 3 * 11 * (5 * generator + 7 * student)


TINY = {
    **{"data.dataset": "digits", "data.image_size": 16, "generator.noise_size": 8},
    **{"teacher.architecture": "resnet8", "student.architecture": "resnet8"},
    **{"schedule.epochs": 2, "schedule.iterations_per_epoch": 2, "schedule.batch_size": 8},
    **{"schedule.generator_steps": 2, "schedule.student_steps": 5},
}


@pytest.mark.parametrize(
    ("method", "overrides"),
    [*((method, {}) for method in METHODS if method not in REAL_METHODS), ("fast", {"schedule.warm_up": 0.25})],
)
def test_a_run_passes_no_more_and_no_less_through_the_networks_than_it_is_said_to_cost(method, overrides):
    config = of(method, TINY | overrides)
    learners = learners_of(config, classes=3, device=torch.device("cpu"))
    passed = []

    def count(stage, arguments, maps):
        passed.append(len(maps))
        if maps.requires_grad:
            maps.register_hook(lambda gradient: passed.append(len(gradient)))

    for classifier in (learners.teacher.classifier, learners.student):
        classifier.network.get_submodule(classifier.stages[0]).register_forward_hook(count)
    for epoch in (1, 2):
        for phase in epoch_phases(config.schedule, epoch):
            getattr(dfkd.steps, f"{phase}_step")(config, learners)
    # PRE-DFKD's autoencoder learns for the first time when there is nothing to recall: of 2 images, forward and back to
    # tune their noise, and 3 passes to learn them.
    missing = 2 * (2 + 3) if method == "pre_dfkd" else 0
    assert sum(passed) == passes_of(config) - missing


def test_our_presets_round_costs_dfkd_fgvcs_in_the_small_budget():
    # So that the two grids with it, matched to one or the other, share its runs. 10 x 2 + 16 x 3 = 8 x 4 + 12 x 3 = 68.
    beside, without = (
        expand(load_grid(grid), dataset="cub200", budget="small", seeds=(0,), settings={}, match_budget=True).rows
        for grid in ("own_best", "own_best_leave_one_out")
    )
    assert passes_of(beside["Own best"]) == passes_of(beside["DFKD-FGVC"]) == 15 * 12 * 8 * 68
    assert beside["Own best"] == without["Own best"]


def test_a_replay_that_asks_the_teacher_is_counted():
    # Of a batch of 8, 2 are recalled. Forward and back to tune their noise: 2/4 of a pass an image. In 4 of 10 steps as
    # much again, then 3 passes for each of 3 new and 2 recalled images: 0.5 + 3 * 5/8 = 2.375.
    rhythm = {"schedule.batch_size": 8, "schedule.generator_steps": 1, "schedule.student_steps": 10}
    config = of("pre_dfkd", rhythm)
    assert student_step(config).teacher == pytest.approx(1 + 0.5 + 0.4 * 2.375)
    off = {"generator_loss.one_hot.weight": 0.0, "generator_loss.class_balance.weight": 0.0}
    assert student_step(of("pre_dfkd", rhythm | off)).teacher == pytest.approx(1 + 0.4 * 1.875)


def test_the_warm_up_asks_no_student():
    # 2 epochs of 3 rounds of 5 and 7 steps of 11 images; the first 2 of the 6 rounds take the teacher's 2 passes alone.
    config = of("fast", {**RHYTHM, "schedule.warm_up": 0.34})
    assert passes_of(config) == 11 * (4 * (5 * 4 + 7 * 3) + 2 * 5 * 2)


def test_a_row_gets_as_many_rounds_as_cost_the_same():
    # DAFL's round of one step each is 2 + 3 = 5 passes; 2 epochs of 40 rounds of 11 images are 4,400.
    config = matched(of("dafl", {**RHYTHM, "schedule.generator_steps": 1, "schedule.student_steps": 1}), 4400)
    assert config.schedule.iterations_per_epoch == 40
    assert passes_of(config) == 4400


def test_a_round_that_is_too_dear_is_cut_in_proportion():
    # A round of 40 and 80 steps is 40 * 4 + 80 * 3 = 400 passes an image; 100 are a quarter of it.
    long = of("dfq", {**RHYTHM, "schedule.generator_steps": 40, "schedule.student_steps": 80})
    config = matched(long, 100 * 11 * 2)
    schedule = config.schedule
    assert (schedule.iterations_per_epoch, schedule.generator_steps, schedule.student_steps) == (1, 10, 20)


def test_a_row_may_set_its_steps_and_gets_the_rounds_for_them(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('[[row]]\nname = "a"\n[[row]]\nname = "b"\nset = { "schedule.student_steps" = 16 }\n')
    rhythm = {"schedule.iterations_per_epoch": 12, "schedule.generator_steps": 8, "schedule.student_steps": 12}
    request = expand(
        load_grid(str(path)), dataset="digits", budget="smoke", seeds=(0,), settings=rhythm, match_budget=True
    )
    schedule = request.rows["b"].schedule
    # 12 rounds of 8 * 4 + 12 * 3 = 68 passes are 816; 816 / (8 * 4 + 16 * 3) = 10.2
    assert (schedule.generator_steps, schedule.student_steps, schedule.iterations_per_epoch) == (8, 16, 10)


def test_rows_of_a_grid_are_matched_and_the_rest_of_them_is_left_alone():
    plain, even = (
        expand(load_grid("table1"), dataset="digits", budget="demo", seeds=(0,), settings={}, match_budget=match)
        for match in (False, True)
    )
    target = passes_of(even.rows["DFKD-FGVC"])
    for name, config in even.rows.items():
        before, after = flatten(plain.rows[name]), flatten(config)
        changed = {key for key in before if before[key] != after[key]}
        if config.learns_from_real_images or name == "DFKD-FGVC":
            assert not changed
        else:
            rhythm = {f"schedule.{each}" for each in ("iterations_per_epoch", "generator_steps", "student_steps")}
            # Seven rounds of 80 passes an image; one of CMI's, 200 steps of 6 and 400 of 3, is more than all of them.
            assert changed == (rhythm if name in ("ZSKD", "ADI", "CMI") else {"schedule.iterations_per_epoch"})
            assert passes_of(config) == pytest.approx(target, rel=0.05)
    words = passes_words(plain.rows, "DFKD-FGVC")
    assert f"{target:,} in 'DFKD-FGVC'" in words
    schedule = plain.rows["DFKD-FGVC"].schedule
    share = 5 / (4 * schedule.generator_steps + 3 * schedule.student_steps)
    assert f"DAFL {share:.2f}" in words
    assert "Real" not in words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[row]]\nname = "r"\nset = { method = "scratch" }\n', "reference is 'r', which learns from real images"),
        (
            '[[row]]\nname = "a"\n[[row]]\nname = "b"\nset = { "schedule.iterations_per_epoch" = 3 }\n',
            "'b'.*iterations_per_epoch",
        ),
        (
            '[[row]]\nname = "a"\n[[row]]\nname = "b"\nset = { "schedule.student_steps" = 3000 }\n',
            "student_steps=3000` it costs .* fewer steps",
        ),
    ],
)
def test_what_cannot_be_matched_is_refused(text, words, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        expand(load_grid(str(path)), dataset="digits", budget="smoke", seeds=(0,), settings={}, match_budget=True)
