"""Identity: which cells are the same run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness.plan
from dfkd import config
from dfkd.config import RunConfig
from dfkd.errors import ConfigError
from dfkd.overrides import flatten, with_overrides
from harness.inputs import teacher_name
from harness.layers import parse_settings
from harness.plan import Cell, Files, digest, expand, make_plan, parse_seeds
from search_spaces import load_grid


def plan_of(grid, *, seeds=(0,), settings=None, budget="smoke", teacher="t"):
    request = expand(load_grid(grid), dataset="digits", budget=budget, seeds=seeds, settings=settings or {})
    return planned(request, teacher=teacher)


def planned(request, *, teacher="t", train=None):
    """Return the plan of a request whose rows all have the same images and teacher."""
    files = dict.fromkeys(request.rows, Files(teacher, "f", train))
    return make_plan(request, files=files, named=False, context={})[0]


def row(plan, name):
    return [cell.id for cell in plan.cells if cell.row == name]


def test_the_full_method_is_one_cell_in_all_three_tables():
    full = row(plan_of("table3"), "+ MHAD + SFCL")
    assert row(plan_of("table4"), "lambda = 5e-2") == full
    assert row(plan_of("table5"), "R = 3") == full
    # 4 + 5 + 3 rows, of which three are one
    assert len({cell.id for grid in ("table3", "table4", "table5") for cell in plan_of(grid).cells}) == 10


def test_every_way_to_decide_what_the_paper_leaves_open_is_a_row():
    rows = {tuple(row.overrides.items()) for row in load_grid("open_choices").entries}
    choices = {
        "generator.attention.softmax_axis": config.SOFTMAX_AXES,
        "generator.block_normalisation": config.BLOCK_NORMALISATIONS,
        "generator.normalisation_when_frozen": config.NORMALISATIONS,
        "generator.output": config.GENERATOR_OUTPUTS,
        "generator.schedule": config.GENERATOR_SCHEDULES,
        "schedule.phases": config.PHASES,
        "student.normalisation_when_frozen": config.NORMALISATIONS,
        "student_loss.distillation.direction": config.KL_DIRECTIONS,
        "student_loss.mhad.activation": config.ATTENTION_ACTIVATIONS,
        "student_loss.mhad.attention": config.ATTENTION_TRAINING,
        "student_loss.mhad.compared": config.ATTENTION_TARGETS,
    }
    default = flatten(RunConfig())
    rows |= {tuple(row.overrides.items()) for row in load_grid("teacher_attention").entries}  # needs its own teacher
    wanted = {((key, value),) for key, values in choices.items() for value in values if value != default[key]}
    assert not wanted - rows
    numbers = {
        "generator.attention.reduction",
        "generator.negative_slope",
        "generator.noise_size",
        "schedule.iterations_per_epoch",
        "student_loss.distillation.temperature",
        "student_loss.mhad.reduction",
        "student_loss.sfcl.temperature",
    }
    assert numbers <= {key for row in rows for key, value in row if value != default[key]}
    request = expand(load_grid("open_choices"), dataset="cub200", budget="smoke", seeds=(0,), settings={})
    plan = planned(request)
    # No row is another one's run, but that one of the two block normalisations is the default.
    assert len(set(plan.ids)) == len(plan.rows) - 1


def test_only_a_cell_that_learns_from_real_images_depends_on_them():
    request = expand(load_grid("upper_bounds"), dataset="digits", budget="smoke", seeds=(0,), settings={})
    one, other = (planned(request, train=fingerprint) for fingerprint in ("one", "other"))
    same = [a.id == b.id for a, b in zip(one.cells, other.cells, strict=True)]
    assert dict(zip(one.rows, same, strict=True)) == {
        "Real images, labels": False,
        "Real images, teacher": False,
        "DFKD-FGVC": True,
    }
    assert row(one, "DFKD-FGVC") == row(plan_of("table3"), "+ MHAD + SFCL")


def test_rows_stand_in_the_grids_order_with_seeds_innermost():
    plan = plan_of("table3", seeds=(1, 0))
    assert [(cell.row, cell.seed) for cell in plan.cells[:3]] == [("Baseline", 1), ("Baseline", 0), ("+ SFCL", 1)]


def test_identity_depends_on_seed_teacher_images_and_numerics(monkeypatch):
    base = Cell(RunConfig(), "t", "f")
    others = [
        Cell(with_overrides(RunConfig(), {"seed": 1}), "t", "f"),
        Cell(RunConfig(), "u", "f"),
        Cell(RunConfig(), "t", "g"),
    ]
    ids = {base.id, *(cell.id for cell in others)}
    monkeypatch.setattr(harness.plan, "NUMERICS", harness.plan.NUMERICS + 1)
    assert len(ids | {base.id}) == 5


def test_a_parameter_of_a_term_that_is_off_does_not_split_a_cell():
    off = {"student_loss.mhad.weight": 0.0}
    other = with_overrides(RunConfig(), off | {"student_loss.mhad.orders": "1"})
    assert Cell(other, "t", "f").id == Cell(with_overrides(RunConfig(), off), "t", "f").id


def test_the_teachers_recipe_enters_only_through_its_weights():
    other = with_overrides(RunConfig(), {"teacher.epochs": 3})
    assert Cell(other, "t", "f").id == Cell(RunConfig(), "t", "f").id


@given(st.permutations(["student.momentum", "schedule.epochs", "seed"]))
def test_the_order_of_overrides_does_not_matter(keys):
    values = {"student.momentum": 0.5, "schedule.epochs": 3, "seed": 7}
    shuffled = with_overrides(RunConfig(), {key: values[key] for key in keys})
    assert Cell(shuffled, "t", "f").id == Cell(with_overrides(RunConfig(), values), "t", "f").id


def test_a_row_wins_over_a_setting_and_a_setting_over_the_budget():
    settings = {"student_loss.mhad.weight": 5.0, "schedule.epochs": 4}
    request = expand(load_grid("table3"), dataset="digits", budget="smoke", seeds=(0,), settings=settings)
    assert request.rows["+ SFCL"].student_loss.mhad.weight == 0
    assert request.rows["+ MHAD"].student_loss.mhad.weight == 5
    assert request.rows["+ MHAD"].schedule.epochs == 4


@pytest.mark.parametrize(
    ("grid", "settings", "words"),
    [
        ("table4", {"generator.attention.weight": 0.1}, ["generator.attention.weight", "must have an effect"]),
        ("table3", {"seed": 1}, ["--seeds"]),
        ("table3", {"student_loss.mhad.wieght": 1.0}, ["Did you mean `student_loss.mhad.weight`"]),
        ("table3", {"data.dataset": "cub200"}, ["data.dataset", "digits"]),
    ],
)
def test_settings_that_cannot_be_meant(grid, settings, words):
    with pytest.raises(ConfigError) as error:
        plan_of(grid, settings=settings)
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('"student_loss.mhad.wieght" = 0', ["line 4", "Did you mean `student_loss.mhad.weight`"]),
        ('"student_loss.mhad.weight" = -1', ["line 4", ">= 0", "-1"]),
        ('"student_loss.mhad.weight" = "ten"', ["line 4", "a number", "'ten'"]),
        ('"data.image_size" = 33', ["line 4", "a positive multiple of 16", "33"]),
        ('"data.dataset" = "cub20"', ["line 4", "cub20", "Did you mean `cub200`"]),
        ('"data.imagesize" = 32', ["line 4", "Did you mean `data.image_size`"]),
        ('"teacher.init" = "imagnet"', ["line 4", "Did you mean `imagenet`"]),
        ("seed = 3", ["line 4", "`seed`", "--seeds", "3"]),
    ],
)
def test_a_bad_row_is_named_with_file_and_line(tmp_path, body, words):
    path = tmp_path / "mine.toml"
    path.write_text(f'[[row]]\nname = "a"\n[row.set]\n{body}\n')
    with pytest.raises(ConfigError) as error:
        plan_of(str(path))
    assert all(word in str(error.value) for word in [str(path), *words])


def test_a_users_grid_by_path_is_the_same_as_a_built_in_one(tmp_path):
    path = tmp_path / "table3.toml"
    path.write_bytes(load_grid("table3").path.read_bytes())
    assert plan_of(str(path)) == plan_of("table3")


@pytest.mark.parametrize("text", ["", "0,,1", "0,0", "a", "-1", "1.5"])
def test_bad_seeds(text):
    with pytest.raises(ConfigError, match="--seeds"):
        parse_seeds(text)


def test_settings_are_parsed_by_the_type_of_their_field():
    assert parse_settings(["schedule.epochs=3", "student.momentum=0", "compute.channels_last=true"]) == {
        "schedule.epochs": 3,
        "student.momentum": 0.0,
        "compute.channels_last": True,
    }
    for bad in (["schedule.epochs"], ["schedule.epochs=3.5"], ["compute.channels_last=1"], ["seed=1", "seed=2"]):
        with pytest.raises(ConfigError):
            parse_settings(bad)


def test_a_teachers_name_is_made_from_what_its_recipe_changes():
    # The digest of {}: a new field at its default can move no name.
    assert teacher_name(RunConfig()) == f"cub200-all-224px-resnet34-s0-{digest({})[:8]}"
    other = with_overrides(RunConfig(), {"teacher.init": "imagenet"})
    assert teacher_name(other).endswith(digest({"teacher.init": "imagenet"})[:8])


def test_what_the_teacher_starts_from_makes_another_plan_but_no_other_cell():
    settings = {"teacher.architecture": "resnet18"}
    plans = [plan_of("table3", settings=settings | {"teacher.init": init}) for init in ("random", "imagenet")]
    assert plans[0].key != plans[1].key
    assert plans[0].ids == plans[1].ids  # the hash of the teacher's weights tells cells apart
