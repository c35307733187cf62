"""What came out of a search: counts, and a grid that tries the best trials on other seeds."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from dfkd.files import atomic_path
from dfkd.overrides import Scalar
from harness.search.ranking import complete
from harness.search.study import UNFINISHED, Study
from search_spaces import Space

AS_IT_IS = "as it is"
"""Name of the row of the settings that a search starts from."""


def count_trials(study: Study) -> str:
    """Return how many trials there are, and where their values came from, in one sentence."""
    own = study.own
    stopped = [trial for trial in own if trial.state == TrialState.PRUNED]
    answered = [trial for trial in complete(own) if trial.user_attrs.get("answered")]
    failed = [trial for trial in own if trial.state == TrialState.FAIL]
    under_way = [trial for trial in own if trial.state == UNFINISHED]
    run = len(own) - len(stopped) - len(answered) - len(failed) - len(under_way)
    early = f"{len(stopped)} stopped early, " if stopped else ""
    counted = f"{len(own)} trials: {run} run, {early}{len(answered)} answered from the store, {len(failed)} failed"
    waiting = f", {len(under_way)} under way" if under_way else ""
    return f"{counted}{waiting}; besides {len(study.trials) - len(own)} warm-started from finished cells"


def best_rows(trials: Sequence[FrozenTrial]) -> dict[str, Mapping[str, Scalar]]:
    """Return the rows of the grid of the best: the settings as they are, then the points of ``trials``, by name."""
    return {AS_IT_IS: {}, **{f"best {number}": trial.params for number, trial in enumerate(trials, 1)}}


def write_grid(
    path: Path, *, title: str, reference: str, base: Mapping[str, Scalar], rows: Mapping[str, Mapping[str, Scalar]]
) -> None:
    """Write a grid of ``rows``, name to overrides, as a TOML file."""
    lines = [f"title = {json.dumps(title)}", f"reference = {json.dumps(reference)}", "", "[base]", *_settings(base)]
    for name, overrides in rows.items():
        lines += ["", "[[row]]", f"name = {json.dumps(name)}"]
        if overrides:
            lines += ["[row.set]", *_settings(overrides)]
    with atomic_path(path) as part:
        part.write_text("\n".join(lines) + "\n")


def _settings(overrides: Mapping[str, Scalar]) -> list[str]:
    return [f"{json.dumps(key)} = {json.dumps(value)}" for key, value in overrides.items()]


def write_best_grid(path: Path, space: Space, trials: Sequence[FrozenTrial]) -> None:
    """Write a grid of the settings as they are and of the points of ``trials``, a row each."""
    write_grid(
        path,
        title=f"The best of a search: {space.title}",
        reference=AS_IT_IS,
        base=space.base,
        rows=best_rows(trials),
    )
