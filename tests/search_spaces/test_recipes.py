"""Teachers' recipes: each is sound, the right one is chosen, and a malformed file is refused in words."""

import pytest

from dfkd.config import RunConfig
from dfkd.config.data import DATASETS
from dfkd.config.networks import INITIAL_WEIGHTS
from dfkd.overrides import KEYS, with_overrides
from harness.layers import base_config, chosen_recipe
from search_spaces import SpaceError, load_recipes, teacher_recipe

GOOD = '[[recipe]]\nname = "a"\ndatasets = ["digits"]\ninit = "random"\nevidence = "none"\n'


@pytest.mark.parametrize("recipe", load_recipes(), ids=lambda recipe: recipe.name)
def test_every_built_in_recipe_is_sound(recipe):
    assert set(recipe.datasets) <= set(DATASETS)
    assert recipe.init in INITIAL_WEIGHTS
    assert set(recipe.overrides) <= set(KEYS)
    with_overrides(RunConfig(), recipe.overrides)
    assert recipe.largest is None or recipe.smallest <= recipe.largest


@pytest.mark.parametrize("dataset", [name for name in DATASETS if name != "imagefolder"])
@pytest.mark.parametrize("image_size", [16, 32, 64, 96, 112, 224])
def test_every_named_data_set_but_cifar_above_its_own_size_has_a_recipe_at_every_size(dataset, image_size):
    found = teacher_recipe(dataset, image_size=image_size, init="random")
    assert (found is None) == (dataset.startswith("cifar") and image_size > 32)


def test_the_recipe_follows_size_and_first_weights_and_gives_way_to_settings():
    small = base_config("cub200", budget=None, settings={"data.image_size": 64})
    assert (small.teacher.epochs, small.teacher.crop_padding) == (40, 8)
    tuned = base_config("cub200", budget=None, settings={"teacher.init": "imagenet", "teacher.epochs": 7})
    assert (tuned.teacher.epochs, tuned.teacher.learning_rate) == (7, 0.01)
    assert chosen_recipe(tuned).name.endswith("from ImageNet's weights")


@pytest.mark.parametrize(
    ("dataset", "settings"),
    [("imagefolder", {}), ("imagefolder", {"data.image_size": 64}), ("cifar10", {"data.image_size": 64})],
)
def test_where_nothing_was_run_the_defaults_stand(dataset, settings):
    config = base_config(dataset, budget=None, settings=settings)
    assert chosen_recipe(config) is None
    assert config.teacher == RunConfig().teacher


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD, ["recipe 1 must have a `set`"]),
        (GOOD + "[recipe.set]\n'student.momentum' = 0.5", ["`teacher.*`", "`student.momentum`"]),
        (GOOD + "[recipe.set]\n'teacher.init' = 'imagenet'", ["`teacher.init`"]),
        (GOOD + "larges = 3", ["line 6", "Did you mean `largest`?"]),
    ],
)
def test_a_malformed_recipe_is_refused(tmp_path, text, words):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(SpaceError) as error:
        load_recipes(path)
    assert all(word in str(error.value) for word in words)
