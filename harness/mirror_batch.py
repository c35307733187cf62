"""What is to be written to one run of MLflow, gathered: each call takes MLflow tens of milliseconds, however little
it writes."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


class Batch:
    """Parameters, metrics and tags of one run, written by ``send``. Writing the same again changes nothing."""

    def __init__(self) -> None:
        self._params: dict[str, str] = {}
        self._tags: dict[str, str] = {}
        self._metrics: list[tuple[str, float, int, int]] = []

    def add_params(self, params: Mapping[str, Any]) -> None:
        """Note parameters."""
        self._params |= {key: str(value) for key, value in params.items()}

    def add_tags(self, tags: Mapping[str, Any]) -> None:
        """Note tags; of two with one name the later counts."""
        self._tags |= {key: str(value) for key, value in tags.items()}

    def add_metrics(self, metrics: Iterable[tuple[str, float, int, int]]) -> None:
        """Note metrics, each as name, value, time in milliseconds since 1970, and step."""
        self._metrics.extend(metrics)

    def send(self, client: "MlflowClient", run: str) -> None:
        """Write all that was noted to the run; the client keeps to MLflow's limits of a batch."""
        from mlflow.entities import Metric, Param, RunTag

        client.log_batch(
            run,
            [Metric(name, float(value), moment, step) for name, value, moment, step in self._metrics],
            [Param(key, value) for key, value in self._params.items()],
            [RunTag(key, value) for key, value in self._tags.items()],
        )
