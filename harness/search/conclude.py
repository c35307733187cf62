"""What came out of a search: counts, the best trials, and a grid that tries them on other seeds."""

import json
from collections.abc import Sequence
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from dfkd.files import atomic_path
from harness.search.study import UNFINISHED, Study
from search_spaces import Space


def count_trials(study: Study) -> str:
    """Return how many trials there are, and where their values came from, in one sentence."""
    own = study.own
    answered = [trial for trial in own if trial.values and trial.user_attrs.get("answered")]
    failed = [trial for trial in own if trial.state == TrialState.FAIL]
    under_way = [trial for trial in own if trial.state == UNFINISHED]
    run = len(own) - len(answered) - len(failed) - len(under_way)
    counted = f"{len(own)} trials: {run} run, {len(answered)} answered from the store, {len(failed)} failed"
    waiting = f", {len(under_way)} under way" if under_way else ""
    return f"{counted}{waiting}; besides {len(study.trials) - len(own)} warm-started from finished cells"


def best_trials(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials with values that no other one beats in one objective and equals in the rest, the best first."""
    complete = [trial for trial in trials if trial.values]
    front = [trial for trial in complete if not any(_beats(other.values, trial.values) for other in complete)]
    return sorted(front, key=lambda trial: [-value for value in trial.values])


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    return list(one) != list(other) and all(a >= b for a, b in zip(one, other, strict=True))


def write_best_grid(path: Path, space: Space, trials: Sequence[FrozenTrial], *, count: int = 3) -> None:
    """Write a grid of the settings as they are and the ``count`` best trials by the first objective, a row each."""
    ranked = sorted((trial for trial in trials if trial.values), key=lambda trial: -trial.values[0])
    points = {json.dumps(trial.params): trial.params for trial in ranked}
    lines = [f"title = {json.dumps(f'The best of a search: {space.title}')}", 'reference = "as it is"', "", "[base]"]
    lines += [f"{json.dumps(key)} = {json.dumps(value)}" for key, value in space.base.items()]
    lines += ["", "[[row]]", 'name = "as it is"']
    for number, point in enumerate(list(points.values())[:count], 1):
        lines += ["", "[[row]]", f'name = "best {number}"', "[row.set]"]
        lines += [f"{json.dumps(key)} = {json.dumps(value)}" for key, value in point.items()]
    with atomic_path(path) as part:
        part.write_text("\n".join(lines) + "\n")
