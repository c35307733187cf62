"""What a search has tried, read from its journal without holding it: for figures."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial

from harness.records import read_json
from harness.search.objectives import Objective, parse_objectives
from harness.store import Store, StoreError


def find_study(store: Store, text: str) -> Path:
    """Return the folder of the one study of the store whose name is ``text`` or begins with it.

    Raises:
        StoreError: none does, or several do.
    """
    names = sorted(path.parent.name for path in (store.root / "studies").glob("*/journal.log"))
    found = [text] if text in names else [name for name in names if name.startswith(text)]
    if len(found) == 1:
        return store.root / "studies" / found[0]
    rule = f"A search must be named by its study in {store.root / 'studies'}, or by the beginning of one name alone"
    close = get_close_matches(text, names, n=1)
    hint = f" Did you mean {close[0]}?" if close and not found else ""
    raise StoreError(f"{rule}, but {text!r} names {len(found)} of: {', '.join(names) or 'none'}.{hint}")


def study_objectives(folder: Path) -> tuple[Objective, ...]:
    """Return what the study in ``folder`` is of.

    Raises:
        StoreError: it does not say, as one that an early version began.
    """
    about = read_json(folder / "search.json")
    if about is None:
        raise StoreError(
            f"A search must say what its objectives are, but {folder} holds no search.json. Give the "
            "`dfkd search` that began it once more: it writes one."
        )
    return parse_objectives(",".join(about["objectives"]))


def read_trials(folder: Path) -> list[FrozenTrial]:
    """Return the trials of the study in ``folder``, as it stands in its latest space."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = JournalStorage(JournalFileBackend(str(folder / "journal.log")))
    names = [study.study_name for study in storage.get_all_studies() if "space" in study.user_attrs]
    if not names:
        return []
    latest = max(names, key=lambda name: int(name.rsplit(".", 1)[1]))
    return optuna.load_study(study_name=latest, storage=storage).get_trials(deepcopy=False)


def objective_order(objectives: Sequence[Objective]) -> list[int]:
    """Return the positions of the objectives as a figure has them: how well a student does before what it costs."""
    return sorted(range(len(objectives)), key=lambda position: objectives[position].beside)


def trial_lines(trials: Sequence[FrozenTrial], objectives: Sequence[Objective]) -> list[dict[str, Any]]:
    """Return a line per trial: ``number``, ``state``, ``value`` of the first in ``objective_order``, in the unit of its
    axis, ``value_2`` of the second, and the parameters."""
    order = objective_order(objectives)
    lines = []
    for trial in trials:
        values = [objectives[i].on_axis(trial.values[i]) for i in order] if trial.values else []
        first, second, *_ = [*values, None, None]
        line: dict[str, Any] = {"number": trial.number, "state": trial.state.name, "value": first, "value_2": second}
        lines.append(line | trial.params)
    return lines
