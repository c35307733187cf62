"""A search in MLflow: one run that is the parent of its trials' runs, found by the study's name; idempotent.

Like the rest of the mirror it reads the store alone: ``context["search"]`` of the search's plan, as
harness/search/view.py writes it.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.records import Plan

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

SEARCH_TAG = "dfkd.search"
"""Of the parent: the study's name. A trial's run has this tag with the name behind it, and the trial's number in it."""
PARENT_TAG = "mlflow.parentRunId"
"""MLflow's own. A cell of several searches hangs under the first that ran it, and has the tags of all."""


class SearchRun:
    """The run of one search."""

    def __init__(self, client: "MlflowClient", experiment: str, plan: Plan) -> None:
        from mlflow.entities import Param, RunStatus

        self._client = client
        search = plan.context["search"]
        self._name: str = search["study"]
        found = list(client.search_runs([experiment], f"tags.`{SEARCH_TAG}` = '{self._name}'", max_results=1))
        if found:
            self.id: str = found[0].info.run_id
            client.update_run(self.id, RunStatus.to_string(RunStatus.RUNNING))
        else:
            run = client.create_run(experiment, tags={SEARCH_TAG: self._name}, run_name=f"search {search['space']}")
            self.id = run.info.run_id
            about = {key: str(search[key]) for key in ("space", "objectives", "seed")}
            ranges = {f"space.{key}": domain for key, domain in search["parameters"].items()}
            client.log_batch(self.id, params=[Param(key, value) for key, value in (about | ranges).items()])
        self._logged: set[int] = set()
        self._adopted: set[str] = set()
        self._ended = False

    def adopt(self, cell_id: str, run: str, plan: Plan) -> None:
        """Hang a trial's run under this one."""
        if cell_id in self._adopted:
            return
        numbers = [str(trial["index"]) for trial in plan.context["search"]["trials"] if trial["cell"] == cell_id]
        self._client.set_tag(run, f"{SEARCH_TAG}.{self._name}", f"trial {', '.join(numbers)}")
        if PARENT_TAG not in self._client.get_run(run).data.tags:
            self._client.set_tag(run, PARENT_TAG, self.id)
        self._adopted.add(cell_id)

    def sync(self, plan: Plan) -> None:
        """Log the values of the trials that have ended, each at its number and with its own time, and the end."""
        from mlflow.entities import Metric

        search = plan.context["search"]
        new = [trial for trial in search["trials"] if trial["values"] and trial["index"] not in self._logged]
        metrics = [
            Metric(name, value, trial["time"], trial["index"])
            for trial in new
            for name, value in zip(search["objectives"], trial["values"], strict=True)
        ]
        for start in range(0, len(metrics), 1000):  # MLflow's limit of a batch
            self._client.log_batch(self.id, metrics=metrics[start : start + 1000])
        self._logged |= {trial["index"] for trial in new}
        if search["ended"] and not self._ended:
            self._client.set_tag(self.id, f"{SEARCH_TAG}.summary", search["ended"])
            self._client.set_terminated(self.id, "FINISHED")
            self._ended = True


def stopped_cells(plan: Plan) -> set[str]:
    """Return the cells of a plan that a search has stopped early; none if it is no search's."""
    search: Mapping[str, Any] = plan.context.get("search") or {"trials": []}
    return {trial["cell"] for trial in search["trials"] if trial["state"] == "stopped"}
