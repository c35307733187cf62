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

    from harness.search.trials import find_study, objective_order, read_trials, study_objectives, trial_lines
    from reports import figures

    folder = find_study(store, study)
    trials, objectives = read_trials(folder), study_objectives(folder)
    found = trial_lines(trials, objectives)
    lines = pd.DataFrame(found, columns=None if trials else ["number", "state", "value", "value_2"])
    lines = lines.astype({"value": float, "value_2": float})
    first, *others = objective_order(objectives)
    objective = objectives[first]
    match name:
        case "history":
            return figures.search_history(lines, objective=objective.axis), None, ""
        case "parallel":
            parameters = [str(column) for column in lines if column not in ("number", "state", "value", "value_2")]
            return figures.parallel_coordinates(lines, parameters=parameters, objective=objective.axis), None, ""
        case "front":
            if not others:
                raise ConfigError(
                    "`dfkd figure front` needs a search of two objectives, but "
                    f"{folder.name!r} has {objective.title} alone."
                )
            second = objectives[others[0]]
            axes = (objective.axis, second.axis)
            front = figures.objective_front(lines, objectives=axes, minimised=second.minimised)
            return front, None, ""
        case _:
            from harness.search.importances import SEED, parameter_importances

            with Console(stderr=True).status("Resampling the trials"):
                judged = parameter_importances(
                    trials, evaluator=evaluator, direction=objective.direction, objective=first
                )
            table = figures.importance_table(judged.shares, judged.resampled)
            notes = importance_notes(judged, evaluator)
            drawn = figures.importances(table, objective=objective.title, notes=notes)
            table = table.assign(evaluator=evaluator, trials=judged.trials, resamples=judged.resamples, seed=SEED)
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
