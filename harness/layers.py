"""Layers of a configuration: defaults < data set < teacher's recipe < budget < preset of the method < ... < ``--set``.

Settings may be scoped to the rows of one method, ``--set dafl:generator.learning_rate=0.01``; in a mapping of settings
the scope stays in the key.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import search_spaces
from dfkd.config import METHODS, REAL_METHODS, RunConfig
from dfkd.errors import ConfigError, nearest
from dfkd.overrides import flatten, parse_scalar, with_overrides
from search_spaces import Recipe

DEFAULT_BUDGET = "paper"
"""Of data sets that name no other."""

SHARED = search_spaces.COLUMN_KEYS
"""Prefixes of what teacher, cells and a column of a table must agree on."""

KINDS = tuple(key for key in flatten(RunConfig()) if key.endswith(".kind"))
"""Fields that say what a method is made of, beside the weights of its terms."""


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Return the overrides of ``--set [METHOD:]KEY=VALUE``; raise ConfigError for a malformed or repeated one."""
    overrides: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise ConfigError(f"`--set` must be given KEY=VALUE, but got {setting!r}.")
        value = parse_scalar(_unscoped(key), text)
        if overrides.get(key, value) != value:
            raise ConfigError(f"`--set {key}` must be given once, but it is given as {overrides[key]} and {value}.")
        overrides[key] = value
    return overrides


def _unscoped(key: str) -> str:
    """Return the field of a setting's key; raise ConfigError if its scope cannot have it."""
    scope, colon, field = key.rpartition(":")
    if not colon:
        return key
    if scope not in METHODS:
        raise ConfigError(f"`--set {key}` must be scoped to a method, but {scope!r} is none. {nearest(scope, METHODS)}")
    if field in ("seed", "method") or field.startswith(SHARED):
        raise ConfigError(
            f"`--set {key}` must leave what all rows share alone: teacher, data, seed and method. Give it without "
            f"`{scope}:`."
        )
    return field


def settings_for(settings: Mapping[str, Any], method: str) -> dict[str, Any]:
    """Return the settings of a method's rows by field: the unscoped ones, and its own, which win."""
    unscoped = {key: value for key, value in settings.items() if ":" not in key}
    own = f"{method}:"
    return unscoped | {key.removeprefix(own): value for key, value in settings.items() if key.startswith(own)}


def apply(config: RunConfig, overrides: Mapping[str, Any], *, path: Path, after: int = 0) -> RunConfig:
    """Return the overridden configuration; a ConfigError names the file and the line, beyond ``after``."""
    with located(overrides, path, after=after):
        return with_overrides(config, overrides)


@contextmanager
def located(overrides: Mapping[str, Any], path: Path, *, after: int = 0) -> Iterator[None]:
    """Put the file in front of a ConfigError, and the line, beyond ``after``, of the override that it is about."""
    try:
        yield
    except ConfigError as error:
        wrong = next((key for key in overrides if f"`{key}`" in str(error)), None)
        at = search_spaces.place(path, wrong, after) if wrong else str(path)
        raise ConfigError(f"{at}: {error}") from None


def refuse_shared_keys(overrides: Mapping[str, Any], path: Path, whose: str, *, after: int = 0) -> None:
    """Raise ConfigError if a file sets what the commands that use it must agree on."""
    for key in overrides:
        if key == "seed" or key.startswith(SHARED):
            raise ConfigError(
                f"{search_spaces.place(path, key, after)}: {whose} must share teacher, data and seeds, but `{key}` is "
                "set. Give it with `--set` or `--seeds`."
            )


def refuse_seeds(overrides: Mapping[str, Any], path: Path, *, after: int = 0, base: bool = False) -> None:
    """Raise ConfigError if a grid sets what all its rows have alike: the seeds and, in its ``base``, the data set."""
    for key, option in (("seed", "--seeds"), *([("data.dataset", "--dataset")] if base else [])):
        if key in overrides:
            raise ConfigError(
                f"{search_spaces.place(path, key, after)}: `{key}` must be left to `{option}`, which gives all rows "
                f"theirs, but {overrides[key]!r} is set. "
                + ("Leave it out, or set it in rows." if base and key != "seed" else "Leave it out.")
            )


def budget_of(dataset: str, budget: str | None) -> str:
    """Return the name of the budget: the one asked for, or the data set's own."""
    return budget or search_spaces.load_dataset(dataset).budget or DEFAULT_BUDGET


def chosen_recipe(config: RunConfig) -> Recipe | None:
    """Return the recipe for the teacher of such a configuration; None where the defaults stand."""
    return search_spaces.teacher_recipe(
        config.data.dataset, image_size=config.data.image_size, init=config.teacher.init
    )


def base_config(dataset: str, *, budget: str | None, settings: Mapping[str, Any]) -> RunConfig:
    """Return the default configuration with a data set's settings, its teacher's recipe, a budget's, the preset of the
    method that ``settings`` name, then ``settings``.

    Raises:
        ConfigError: an unknown key or data set, a value of another type, or a broken rule.
        SpaceError: an unknown budget, or a malformed file.
    """
    return Layers(before_methods(dataset, budget=budget, settings=settings), {}, settings).base


def before_methods(dataset: str, *, budget: str | None, settings: Mapping[str, Any]) -> RunConfig:
    """Return the layers below the methods' presets; ``settings`` are looked at to choose the teacher's recipe."""
    if settings.get("data.dataset", dataset) != dataset:
        raise ConfigError(
            f"`--set data.dataset` must agree with the data set asked for, but it is {settings['data.dataset']!r} and "
            f"the data set is {dataset!r}. Leave it out."
        )
    preset = search_spaces.load_dataset(dataset)
    config = apply(with_overrides(RunConfig(), {"data.dataset": dataset}), preset.overrides, path=preset.path)
    shared = {key: value for key, value in settings.items() if key.startswith(SHARED)}
    recipe = chosen_recipe(with_overrides(config, shared))
    if recipe is not None:
        config = apply(config, recipe.overrides, path=search_spaces.RECIPES)
    if budget is not None:
        chosen = search_spaces.load_budget(budget)
        refuse_shared_keys(chosen.overrides, chosen.path, "the runs of a budget")
        config = apply(config, chosen.overrides, path=chosen.path)
    return config


@dataclass(frozen=True)
class Layers:
    """What the rows of a grid start from, by their method."""

    start: RunConfig
    """Everything below the presets of methods."""
    grid_base: Mapping[str, Any]
    """The ``[base]`` of the grid, above them."""
    settings: Mapping[str, Any]
    """``--set``, above that."""
    path: Path = Path("the command line")
    """Of the grid."""

    @property
    def method(self) -> str:
        """Return the method of a row that names none."""
        given = self.settings.get("method", self.grid_base.get("method", self.start.method))
        assert isinstance(given, str)
        return given

    @property
    def base(self) -> RunConfig:
        """Return the configuration of a row that changes nothing."""
        return self.of(self.method)

    def with_preset(self, method: str) -> RunConfig:
        """Return the layers up to the method's preset."""
        named = with_overrides(self.start, {"method": method})
        preset = search_spaces.load_method(method)
        refuse_shared_keys(preset.overrides, preset.path, "the runs of a method")
        return apply(named, preset.overrides, path=preset.path)

    def below_settings(self, method: str) -> RunConfig:
        """Return the layers up to the grid's base."""
        return apply(self.with_preset(method), {**self.grid_base, "method": method}, path=self.path)

    def of(self, method: str) -> RunConfig:
        """Return what a row of the method starts from."""
        return with_overrides(self.below_settings(method), {**settings_for(self.settings, method), "method": method})

    def check_base(self) -> None:
        """Raise ConfigError if the grid's base breaks a rule."""
        self.below_settings(self.method)

    def check(self, rows: Mapping[str, tuple[str, Mapping[str, Any]]]) -> None:
        """Raise ConfigError for a setting without effect, or one that makes of a method what it is not.

        ``rows`` has each row's method and overrides by its name. A term that is off in some methods and on in others is
        switched on where its name says so, ``METHOD:KEY``, or not at all: a row must be what it is called.
        """
        for key, value in self.settings.items():
            scope, _, field = key.rpartition(":")
            reached = {
                name: method
                for name, (method, overrides) in rows.items()
                if scope in ("", method) and field not in overrides
            }
            if not reached and scope and scope not in (method for method, _ in rows.values()):
                raise ConfigError(
                    f"`--set {key}` must have an effect, but {self.path} has no row of the method {scope}. "
                    "Leave it out."
                )
            if not reached:
                whose = f"every row of {scope} in {self.path}" if scope else f"every row of {self.path}"
                raise ConfigError(f"`--set {key}` must have an effect, but {whose} sets it. Edit a copy of the file.")
            if not scope:
                self._check_unscoped(field, value, reached)

    def _check_unscoped(self, field: str, value: Any, reached: Mapping[str, str]) -> None:
        data_free = {name: method for name, method in reached.items() if method not in REAL_METHODS}
        before = {method: flatten(self.below_settings(method))[field] for method in set(data_free.values())}
        if field.endswith(".weight"):
            changed = {method for method, was in before.items() if was == 0 and value != 0}
        else:
            changed = {method for method, was in before.items() if field in KINDS and was != value}
        if changed and len(changed) < len(before):
            named = next(method for method in data_free.values() if method not in changed)
            wrong = ", ".join(repr(name) for name, method in data_free.items() if method in changed)
            raise ConfigError(
                f"`--set {field}={value}` must leave every method what it is called, but in {self.path} it would make "
                f"something else of {wrong}. Say which method it is for: `--set {named}:{field}={value}`."
            )
