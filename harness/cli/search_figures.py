"""Figures of a search's trials, for ``dfkd figure``."""

from enum import StrEnum
from typing import TYPE_CHECKING

from rich.console import Console

from dfkd.errors import ConfigError
from harness.store import Store

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from harness.search.importances import Importances

OF_SEARCHES = ("history", "parallel", "importances", "front")


class ImportanceEvaluator(StrEnum):
    """Names of ``harness.search.importances.EVALUATORS``."""

    ped_anova = "ped-anova"
    fanova = "fanova"


def search_figure(name: str, store: Store, study: str, *, evaluator: str) -> "tuple[Figure, pd.DataFrame | None, str]":
    """Return a figure of a search's trials, the table to write beside it, if it has one, and what to print.

    Raises:
        ConfigError: the search has no second objective, and the figure is of two.
        StoreError: there is no such search, or it has too few trials for the figure.
    """
    import pandas as pd

    from harness.search.trials import find_study, read_trials, study_objectives, trial_lines
    from reports import figures

    folder = find_study(store, study)
    trials, objectives = read_trials(folder), study_objectives(folder)
    lines = pd.DataFrame(trial_lines(trials), columns=None if trials else ["number", "state", "value", "value_2"])
    lines = lines.astype({"value": float, "value_2": float})
    title = objectives[0].title
    match name:
        case "history":
            return figures.search_history(lines, objective=title), None, ""
        case "parallel":
            parameters = [str(column) for column in lines if column not in ("number", "state", "value", "value_2")]
            return figures.parallel_coordinates(lines, parameters=parameters, objective=title), None, ""
        case "front":
            if len(objectives) < 2:
                raise ConfigError(
                    f"`dfkd figure front` needs a search of two objectives, but {folder.name!r} has {title} alone."
                )
            second = objectives[1]
            front = figures.objective_front(lines, objectives=(title, second.title), minimised=second.minimised)
            return front, None, ""
        case _:
            from harness.search.importances import SEED, parameter_importances

            with Console(stderr=True).status("Resampling the trials"):
                found = parameter_importances(trials, evaluator=evaluator, direction=objectives[0].direction)
            table = figures.importance_table(found.shares, found.resampled)
            notes = importance_notes(found, evaluator)
            drawn = figures.importances(table, objective=title, notes=notes)
            table = table.assign(evaluator=evaluator, trials=found.trials, resamples=found.resamples, seed=SEED)
            shown = table[["parameter", "share", "low", "high"]].to_string(index=False, float_format="{:.3f}".format)
            return drawn, table, "\n".join([shown, *notes])


def importance_notes(found: "Importances", evaluator: str) -> list[str]:
    """Return what the shares are, what they rest on, and how much that is worth, a line each."""
    from harness.search.importances import EVALUATORS, FEW, SEED

    asked = EVALUATORS[evaluator]
    notes = [
        f"{asked.title}: {asked.about}",
        f"{found.trials} trials; intervals: 95 % of {found.resamples} resamplings of them, seed {SEED}",
    ]
    if found.trials < FEW:
        notes.append(f"With fewer than {FEW} trials their order may be chance.")
    if found.left_out:
        notes.append(f"Not judged, since some trials lack them: {', '.join(found.left_out)}.")
    return notes
