"""The options with which a command means a plan: as they were given, or found again from the plan itself."""

from pathlib import Path
from typing import Any

from dfkd.errors import UserError
from harness.cli.options import DEFAULT_DATASET, DEFAULT_SEEDS, DEFAULT_STORE, request_of
from harness.records import Plan
from search_spaces import SpaceError


def given_arguments(
    dataset: str,
    budget: str | None,
    seeds: str,
    settings: list[str] | None,
    data_root: Path | None,
    store: Path,
    *,
    match_budget: bool,
) -> list[str]:
    """Return the options that a command needs to mean the same plan; those at their default are left out."""
    named = {
        "--dataset": (dataset, DEFAULT_DATASET),
        "--data-root": (data_root, None),
        "--budget": (budget, None),
        "--seeds": (seeds, DEFAULT_SEEDS),
        "--store": (store, DEFAULT_STORE),
    }
    given = [part for name, (value, usual) in named.items() if value != usual for part in (name, str(value))]
    given += [part for setting in settings or [] for part in ("--set", setting)]
    return [*given, *(["--match-budget"] if match_budget else [])]


def stored_arguments(plan: Plan, store: Path) -> list[str] | None:
    """Return the options with which a command means a stored ``plan``, or None where they cannot be found.

    They are what the plan says of itself, and are tried: where they make another plan, as for a grid's file that is
    elsewhere, a teacher's checkpoint that was named, or a plan of former presets, there are none.
    """
    from dfkd.data.datasets import DATASETS

    names = [name for name, spec in DATASETS.items() if spec.title == plan.context.get("dataset")]
    if len(names) != 1:
        return None
    budget, seeds = plan.context.get("budget"), ",".join(map(str, plan.seeds))
    settings = [f"{key}={_written(value)}" for key, value in plan.context.get("settings", {}).items()]
    matched = "matched_passes" in plan.context
    try:
        request = request_of(plan.grid, names[0], budget, seeds, settings, match_budget=matched)
    except (UserError, SpaceError):
        return None
    if request.key(None) != plan.key:
        return None
    return given_arguments(names[0], budget, seeds, settings, None, store, match_budget=matched)


def _written(value: Any) -> str:
    """Return a setting's value as ``--set`` takes it."""
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)
