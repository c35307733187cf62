"""Presets of methods between the budget and the grid, and settings for the rows of one method."""

import pytest

from dfkd.config import METHODS, REAL_METHODS, RunConfig
from dfkd.errors import ConfigError
from dfkd.overrides import canonical, flatten, with_overrides
from harness.layers import base_config, parse_settings, settings_for
from harness.plan import expand
from outcome import refused
from search_spaces import available, load_grid, load_method

LISTED = ("dafl", "dfq", "dfkd_fgvc", "scratch")
GRID = "".join(f'[[row]]\nname = "{method}"\nset = {{ method = "{method}" }}\n' for method in LISTED)


def rows(text, tmp_path, *settings, dataset="digits", **options):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    given = parse_settings(settings)
    return expand(load_grid(str(path)), dataset=dataset, budget="smoke", seeds=(0,), settings=given, **options).rows


def test_every_method_has_a_preset_and_every_preset_is_a_method():
    assert sorted(METHODS) == available("methods")
    for method in METHODS:
        preset = load_method(method)
        config = with_overrides(RunConfig(), {**preset.overrides, "method": method})
        assert preset.title
        assert preset.source
        assert (preset.year is None) == (method in REAL_METHODS)
        redundant = [key for key in preset.overrides if key.endswith(".weight") and flatten(config)[key] < 0]
        assert not redundant


def test_the_papers_own_preset_changes_nothing():
    assert load_method("dfkd_fgvc").overrides == {}
    assert canonical(base_config("digits", budget="smoke", settings={})).get("method") is None


def test_a_row_gets_the_preset_of_its_method_above_data_set_and_budget(tmp_path):
    made = rows(GRID, tmp_path)
    ours, dafl = made["dfkd_fgvc"], made["dafl"]
    assert (ours.student_loss.mhad.weight, dafl.student_loss.mhad.weight) == (100, 0)  # digits.toml; dafl.toml
    assert (ours.schedule.student_steps, dafl.schedule.student_steps) == (2, 1)  # smoke.toml; dafl.toml
    assert dafl.schedule.batch_size == ours.schedule.batch_size == 8  # smoke.toml
    assert dafl.generator_loss.one_hot.weight == 0.5
    assert made["scratch"].generator_loss.one_hot.weight == 0


def test_the_grids_base_wins_over_a_preset_a_setting_over_that_and_the_row_over_all(tmp_path):
    key = "generator_loss.one_hot.weight"
    base = f'[base]\nmethod = "dafl"\n"{key}" = 2.0\n'
    both = '[[row]]\nname = "plain"\n[[row]]\nname = "own"\n' + f'set = {{ "{key}" = 4.0 }}\n'
    assert [row.generator_loss.one_hot.weight for row in rows(base + both, tmp_path).values()] == [2, 4]
    set_to_3 = rows(base + both, tmp_path, f"{key}=3")
    assert [row.generator_loss.one_hot.weight for row in set_to_3.values()] == [3, 4]
    assert set_to_3["plain"].generator_loss.class_balance.weight == 8.686  # the preset's


def test_a_setting_may_be_for_the_rows_of_one_method(tmp_path):
    made = rows(
        GRID, tmp_path, "dfkd_fgvc:student_loss.mhad.weight=7", "generator.beta1=0.25", "dafl:generator.beta1=0.75"
    )
    assert made["dfkd_fgvc"].student_loss.mhad.weight == 7
    assert made["dafl"].student_loss.mhad.weight == 0
    assert [made[name].generator.beta1 for name in ("dafl", "dfq", "dfkd_fgvc")] == [0.75, 0.25, 0.25]


def test_the_method_itself_can_be_set():
    config = base_config("digits", budget="smoke", settings={"method": "dfad", "student.momentum": 0.5})
    assert (config.method, config.student_loss.distillation.kind, config.student.momentum) == ("dfad", "l1", 0.5)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            ["student_loss.mhad.weight=5"],
            [
                "must leave every method what it is called",
                "'dafl', 'dfq'",
                "--set dfkd_fgvc:student_loss.mhad.weight=5.0",
            ],
        ),
        (["generator_loss.class_balance.weight=1"], ["something else of 'dfkd_fgvc'", "--set dafl:generator_loss"]),
        (["replay.kind=generator"], None),  # in all of them alike
        (["student_loss.mhad.weight=0"], None),
        (["student_loss.sfcl.temperature=0.5"], None),
        (["mad:replay.momentum=0.5"], ["must have an effect", "no row of the method mad"]),
        (["dafl:method=dfq"], ["must leave what all rows share alone"]),
        (["dafl:teacher.epochs=3"], ["must leave what all rows share alone", "without `dafl:`"]),
        (["dafk:generator.beta1=0.5"], ["'dafk' is none", "dafl"]),
        (["dafl:generator.beta=0.5"], ["`generator.beta` is none"]),
        (["method=dafl"], ["must have an effect", "every row of"]),
    ],
)
def test_a_setting_cannot_make_of_a_method_what_it_is_not(tmp_path, settings, words):
    if words is None:
        rows(GRID, tmp_path, *settings)
        return
    with pytest.raises(ConfigError) as error:
        rows(GRID, tmp_path, *settings)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_a_term_of_one_method_alone_can_be_switched_on_in_all_its_rows(tmp_path):
    grid = '[base]\nmethod = "dafl"\n[[row]]\nname = "DAFL"\n[[row]]\nname = "hot"\nset = { "generator.beta1" = 0.5 }\n'
    made = rows(grid, tmp_path, "student_loss.mhad.weight=5")
    assert [row.student_loss.mhad.weight for row in made.values()] == [5, 5]


def test_scopes_end_with_exit_code_2_before_any_work(run, tmp_path):
    refused(
        run("plan", "table1", "--set", "student_loss.mhad.weight=5", "--store", str(tmp_path)), "dfkd_fgvc:student_loss"
    )


def test_own_settings_win_over_those_of_all():
    settings = {"generator.beta1": 0.1, "dafl:generator.beta1": 0.2, "dfq:generator.beta1": 0.3}
    assert settings_for(settings, "dafl") == {"generator.beta1": 0.2}
    assert settings_for(settings, "mad") == {"generator.beta1": 0.1}
