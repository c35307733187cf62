"""What all tests share: one thread, few hypothesis examples, and one Ray instance and one MLflow template a session."""

import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from small import sets

os.environ.update(
    RAY_USAGE_STATS_ENABLED="0", MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true", COLUMNS="200", NO_COLOR="1"
)
settings.register_profile("few", max_examples=25, deadline=None)
settings.load_profile("few")
torch.set_num_threads(1)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job, whose children would ignore it too
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where several processes run the tests, keep a file's in one, and all that share the Ray instance."""
    for item in items:
        shares_ray = "ray_session" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("ray" if shares_ray else str(item.path)))


@pytest.fixture(scope="session")
def mlflow_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with MLflow's tables: making them takes ten seconds, copying them none."""
    from harness.mirror import Mirror
    from harness.store import Store

    folder = tmp_path_factory.mktemp("mlflow")
    Mirror(f"sqlite:///{folder / 'live.db'}", Store(folder))
    with sqlite3.connect(folder / "live.db") as live, sqlite3.connect(folder / "template.db") as template:
        live.backup(template)
    return folder / "template.db"


@pytest.fixture(scope="session")
def teacher_store(tmp_path_factory: pytest.TempPathFactory, mlflow_template: Path) -> Path:
    """A store that holds the small digits teacher and an MLflow file, and nothing else. Copy it, do not write to it."""
    from typer.testing import CliRunner

    from harness.cli.main import app

    store = tmp_path_factory.mktemp("store") / "runs"
    result = CliRunner().invoke(app, ["teacher", "digits", "--store", str(store), *sets()])
    assert result.exit_code == 0, result.output
    shutil.copy(mlflow_template, store / "mlflow.db")
    return store


@pytest.fixture
def store(teacher_store: Path, tmp_path: Path) -> Path:
    """A fresh copy of ``teacher_store``."""
    return Path(shutil.copytree(teacher_store, tmp_path / "runs"))


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """One Ray instance for all tests that need one."""
    import ray

    from harness.executors.cluster import ENVIRONMENT

    os.environ.update(ENVIRONMENT)
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture
def run() -> Callable[..., tuple[int, str, str]]:
    """Run the command line in this process: ``run("plan", "table3", ...)`` gives (exit status, stdout, stderr)."""
    from typer.testing import CliRunner

    from harness.cli.main import app

    def invoke(*arguments: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, list(arguments))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout, result.stderr

    return invoke
