"""The same frame from MLflow as from the store; what others logged there is passed over."""

import shutil

import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from harness.mirror import Mirror, default_uri
from harness.records import CELL_TAG, EXPERIMENT, Plan, PlannedCell, from_tags, to_tags, write_json, write_plan
from harness.store import RunLog, Store
from reports import ReportError, load_runs, open_source

CELLS = (
    PlannedCell("a", "A", 0),
    PlannedCell("b", "A", 1),
    PlannedCell("c", "B", 0),
    PlannedCell("d", "B", 1),
    PlannedCell("a", "twin of A", 0),
    PlannedCell("b", "twin of A", 1),
)
PLAN = Plan("k", "g", "Title", ("A", "B", "twin of A"), "A", (0, 1), CELLS, {"dataset": "Digits", "epochs": 2})
RESULT = {"last": 1 / 3, "best_on_test": 0.5, "final_mean": 0.1, "seconds": 3.0, "trainer": ["x", "y"]} | {
    "environment": {"torch": "2", "threads": 1}, "finished": 1000.25
}  # fmt: skip


@pytest.fixture
def mirrored(tmp_path, mlflow_template):
    """A store with a done, a failed, a started and an untouched cell, mirrored; its tracking URI."""
    shutil.copy(mlflow_template, tmp_path / "mlflow.db")
    store = Store(tmp_path)
    for seed, name in enumerate("abcd"):
        config = {"seed": seed, "schedule.epochs": 2, "student_loss.mhad.orders": "1", "compute.channels_last": True}
        content = {"config": config, "teacher_hash": "t", "test_fingerprint": "f", "numerics": 1}
        write_json(store.cell(name) / "config.json", content)
    for name in "abc":
        for epoch in (1, 2)[: 2 if name == "a" else 1]:
            record = {"epoch": epoch, "time": 10.0 * epoch, "seconds": 0.1 * epoch, "test_accuracy": epoch / 7}
            RunLog(store.cell(name)).append(record)
    write_json(store.cell("a") / "result.json", RESULT)
    write_json(store.cell("c") / "failure.json", {"error": "E: first\nsecond", "traceback": "..."})
    write_plan(store.root, PLAN)
    Mirror(default_uri(store), store).sync(PLAN.ids, PLAN)
    return store.root, default_uri(store)


def test_the_frame_is_the_same_either_way(mirrored):
    root, uri = mirrored
    stored, tracked = load_runs(root, "g"), load_runs(uri, "g")
    pd.testing.assert_frame_equal(stored, tracked)
    assert tracked["status"].tolist() == ["done", "todo", "failed", "todo", "done", "todo"]
    assert tracked["last"][0] == 1 / 3  # to the last bit
    assert tracked["epochs"].tolist() == [2, 1, 1, 0, 2, 1]
    assert tracked["error"][2] == "E: first"
    assert tracked["config.student_loss.mhad.orders"][0] == "1"  # text stays text
    assert open_source(uri).plans() == open_source(root).plans() == [PLAN]


def test_epochs_are_the_same_either_way(mirrored):
    root, uri = mirrored
    assert open_source(uri).logs("abcd") == open_source(root).logs("abcd")


def test_a_copy_of_the_file_alone_is_enough(mirrored, tmp_path):
    root, _ = mirrored
    (tmp_path / "elsewhere").mkdir()
    for part in root.glob("mlflow.db*"):
        shutil.copy(part, tmp_path / "elsewhere")
    tracked = load_runs(f"sqlite:///{tmp_path / 'elsewhere' / 'mlflow.db'}", "g")
    pd.testing.assert_frame_equal(load_runs(root, "g"), tracked)


def test_runs_of_others_are_passed_over(mirrored):
    root, uri = mirrored
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    client.create_run(experiment, run_name="mine", tags={"cell": "a"})
    client.create_run(client.create_experiment("other"), tags={CELL_TAG: "a"})
    pd.testing.assert_frame_equal(load_runs(root, "g"), load_runs(uri, "g"))


def test_two_runs_of_one_cell_are_refused(mirrored):
    _, uri = mirrored
    client = MlflowClient(tracking_uri=uri)
    again = client.create_run(client.get_experiment_by_name(EXPERIMENT).experiment_id, tags={CELL_TAG: "a"})
    with pytest.raises(ReportError, match=f"{again.info.run_id}.* both carry dfkd.cell = a. Delete one"):
        load_runs(uri, "g")


def test_a_mirror_of_an_earlier_version_is_completed(mirrored):
    root, uri = mirrored
    client = MlflowClient(tracking_uri=uri)
    for run in client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id]):
        client.delete_tag(run.info.run_id, "dfkd.config.0")
    store = Store(root)
    Mirror(uri, store).sync(PLAN.ids, PLAN)
    pd.testing.assert_frame_equal(load_runs(root, "g"), load_runs(uri, "g"))


def test_tags_of_any_length_come_back_and_left_over_pieces_do_no_harm():
    long, short = {"x": "a" * 10_000}, {"x": 1.5, "y": None}
    tags = to_tags("n", long)
    # {"x": "..."} is 10,009 characters: three pieces of 4,000.
    assert sorted(tags) == ["n.0", "n.1", "n.2"]
    assert from_tags("n", tags) == long
    assert from_tags("n", tags | to_tags("n", short)) == short
    assert from_tags("n", {key: tags[key] for key in ("n.0", "n.2")}) is None
    assert from_tags("n", {}) is None
