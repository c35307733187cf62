"""``dfkd methods``: what a student can learn by, what each is made of, and what it costs."""

import json
from typing import Any

from rich.console import Console
from rich.table import Table

from dfkd.config import METHODS, RunConfig
from dfkd.overrides import flatten, with_overrides
from harness.cli.options import JsonOption, guarded
from harness.passes import generator_step, passes_of_round, student_step
from search_spaces import load_method

WEIGHT = ".weight"


@guarded
def methods(as_json: JsonOption = False) -> int:
    """List the methods: year, source of images, replay, loss terms, rhythm and cost. Computes and writes nothing."""
    found = [describe(name) for name in METHODS]
    if as_json:
        print(json.dumps({"methods": found}, indent=1))
    else:
        _print(found)
    return 0


def describe(name: str) -> dict[str, Any]:
    """Return what the preset of a method makes of the defaults."""
    preset = load_method(name)
    config = with_overrides(RunConfig(), {**preset.overrides, "method": name})
    real = config.learns_from_real_images
    generator, student = generator_step(config), student_step(config)
    return {
        "name": name,
        "title": preset.title,
        "year": preset.year,
        "source": preset.source,
        "synthesis": None if real else config.synthesis.kind,
        "replay": None if real else config.replay.kind,
        "generator_terms": {} if real else _terms(config, "generator_loss."),
        "student_terms": {} if real else _terms(config, "student_loss."),
        "generator_steps": 0 if real else config.schedule.generator_steps,
        "student_steps": config.schedule.student_steps,
        "passes_of_a_generator_step": generator.total,
        "passes_of_a_student_step": student.total,
        "passes_per_student_step": passes_of_round(config) / config.schedule.student_steps,
        "set": dict(preset.overrides),
    }


def _terms(config: RunConfig, prefix: str) -> dict[str, float]:
    """Return the terms of one loss that are on, with their weights."""
    flat = flatten(config)
    weights = {key: value for key, value in flat.items() if key.startswith(prefix) and key.endswith(WEIGHT)}
    return {key.removeprefix(prefix).removesuffix(WEIGHT): float(value) for key, value in weights.items() if value}


def _print(found: list[dict[str, Any]]) -> None:
    table = Table("method", "made of", "loss terms", "steps", "passes")
    for each in found:
        replayed = f", replay: {each['replay']}" if each["replay"] not in (None, "none") else ""
        table.add_row(
            f"{each['name']}\n{each['year'] or ''}",
            (each["synthesis"] or "real images") + replayed,
            "\n".join(
                f"{player}: {_listed(each[terms])}"
                for player, terms in (("images", "generator_terms"), ("student", "student_terms"))
                if each[terms]
            )
            or each["title"],
            f"{each['generator_steps']} : {each['student_steps']}",
            f"{each['passes_of_a_generator_step']}, {each['passes_of_a_student_step']}: "
            f"{each['passes_per_student_step']:.1f}",
        )
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    console.print(
        "steps: generator steps to student steps of a round, before a budget or `--match-budget` changes them.\n"
        "passes: forward and backward passes of teacher and student per image, of a generator step, of a student step: "
        "and of a round, for each of its student steps.\n"
        "One of them: dfkd distill --set method=NAME. All of them: dfkd ablate table1 --match-budget. What they are: "
        "docs/methods.md."
    )


def _listed(terms: dict[str, float]) -> str:
    return ", ".join(f"{weight:g} {name}" for name, weight in terms.items())
