"""``dfkd search --warm-start-mlflow``: which runs of an experiment become trials, and why the others do not."""

import math
import shutil
from dataclasses import replace

import pytest
from mlflow.tracking import MlflowClient

from dfkd.overrides import with_overrides
from harness.cells import prepare_cell
from harness.mirror import CELL_TAG, EXPERIMENT, Mirror, default_uri
from harness.records import Plan, PlannedCell
from harness.search.from_mlflow import SourceError, read_mlflow
from harness.search.objectives import OBJECTIVES
from harness.store import RunLog
from outcome import refused
from searching import BETA, GAMMA, Bench, finish
from small import sets

ACCURACY = (OBJECTIVES["accuracy"],)


@pytest.fixture
def logged(tmp_path, mlflow_template):
    """Another machine's store, whose cells can be mirrored to its MLflow file."""
    bench = Bench(tmp_path / "logged")
    bench.root.mkdir()
    shutil.copy(mlflow_template, bench.root / "mlflow.db")
    return bench


def add(bench, value, *, points=None, ended=True, **changes):
    """Write a cell at the defaults with ``changes``, as a run would; return its identity."""
    points = points or bench.points
    cell = points.cell_of(with_overrides(points.base, changes))
    prepare_cell(bench.store, cell)
    if ended:
        finish(bench.store, cell.id, value, environment={})
    else:
        RunLog(bench.store.cell(cell.id)).append({"epoch": 1, "validation_accuracy": value, "time": 0.0})
    return cell.id


def mirror(bench):
    """Write all cells to MLflow; return the source, a client and the runs by cell."""
    ids = sorted(path.name for path in (bench.root / "cells").iterdir())
    plan = Plan("k", "g", "t", ("r",), "r", (0,), tuple(PlannedCell(each, "r", 0) for each in ids), {})
    Mirror(default_uri(bench.store), bench.store).sync(ids, plan)
    client = MlflowClient(default_uri(bench.store))
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    runs = {run.data.tags[CELL_TAG]: run.info.run_id for run in client.search_runs([experiment])}
    return default_uri(bench.store), client, experiment, runs


def test_finished_runs_of_the_space_become_trials_and_are_not_run_again(logged, tmp_path):
    inside = add(logged, 0.7, **{BETA: 30.0})
    start = add(logged, 0.6)
    source, *_ = mirror(logged)
    here = Bench(tmp_path / "here")
    taken = read_mlflow(source, here.points, ACCURACY)
    assert taken.words == "2 of 2 runs are taken over"
    for _ in range(2):  # the second time nothing is added
        trials = here.run(4, known=taken.known)
    warm = {trial.user_attrs["cell"]: trial.value for trial in trials if trial.user_attrs["origin"] == "warm start"}
    assert warm == {inside: 0.7, start: 0.6}
    assert not {inside, start} & {path.name for path in (here.root / "cells").iterdir()}
    assert len(trials) == 6


def test_a_suggestion_that_mlflow_has_answered_is_not_run(logged, tmp_path):
    text = f'[parameters]\n"{BETA}" = {{ choices = [0.0, 10.0] }}\n'
    for value in (0.0, 10.0):
        add(logged, 0.5 + value / 100, **{BETA: value})
    source, *_ = mirror(logged)
    here = Bench(tmp_path / "here", text=text, sampler="random")
    trials = here.run(5, known=read_mlflow(source, here.points, ACCURACY).known)
    assert here.ran == []
    assert {(trial.params[BETA], trial.value) for trial in trials} == {(0.0, 0.5), (10.0, 0.6)}


def test_why_other_runs_are_of_no_use(logged, tmp_path):
    good = add(logged, 0.7, **{BETA: 30.0})
    add(logged, 0.7, points=replace(logged.points, teacher_hash="another"))
    add(logged, 0.7, points=replace(logged.points, test_fingerprint="others"))
    add(logged, 0.7, seed=1)
    add(logged, 0.7, **{BETA: 30.5})
    add(logged, 0.7, **{"schedule.epochs": 3})
    add(logged, math.nan, **{BETA: 31.0})
    add(logged, math.inf, **{BETA: 32.0})
    add(logged, 1.5, **{BETA: 33.0})
    add(logged, None, **{BETA: 34.0})
    add(logged, 0.7, ended=False, **{BETA: 35.0})
    edited, newer, older = (add(logged, 0.7, **{BETA: beta}) for beta in (36.0, 37.0, 38.0))
    source, client, experiment, runs = mirror(logged)
    client.set_tag(runs[edited], CELL_TAG, "0" * 16)
    client.log_param(runs[newer], "student_loss.later.weight", "1.0")
    client.set_tag(runs[older], "dfkd.numerics", "1")
    client.create_run(experiment, run_name="someone else's")
    taken = read_mlflow(source, Bench(tmp_path / "here").points, ACCURACY)
    assert [one.cell_id for one in taken.known] == [good]
    assert taken.left_out == {
        "not finished": 1,
        "not of a cell": 1,
        "of another teacher": 1,
        "of another version of the trainer's arithmetic": 1,
        "on other images": 1,
        "outside of the space, or with other settings": 2,
        "whose configuration does not make the identity that they carry": 1,
        "with another seed": 1,
        "with fields that this version does not have": 1,
        "without a finite validation accuracy": 4,
    }
    assert "1 of 15 runs are taken over; left out: 1 not finished" in taken.words


def test_what_cannot_be_read_is_refused(logged, tmp_path):
    points = logged.points
    with pytest.raises(SourceError, match=r"no file .*nowhere\.db"):
        read_mlflow(f"sqlite:///{tmp_path}/nowhere.db", points, ACCURACY)
    assert not (tmp_path / "nowhere.db").exists()
    with pytest.raises(SourceError, match=r"none of the name 'mine'\. Known: .*Write sqlite"):
        read_mlflow(f"sqlite:///{logged.root}/mlflow.db#mine", points, ACCURACY)
    with pytest.raises(SourceError, match="within reach"):
        read_mlflow("nonsense://x", points, ACCURACY)


def test_the_command_begins_with_another_stores_runs(run, store, tmp_path):
    (tmp_path / "one.toml").write_text(f'[parameters]\n"{GAMMA}" = {{ low = 1.0, high = 3.0, step = 2.0 }}\n')
    elsewhere = shutil.copytree(store, tmp_path / "elsewhere")
    common = ["--budget", "smoke", "--executor", "local", *sets()]
    search = ["search", str(tmp_path / "one.toml"), "--objectives", "agreement", "--sampler", "qmc", *common]
    status, output, _ = run(*search, "--trials", "4", "--store", str(elsewhere))
    assert status == 0, output
    command = [
        *search,
        "--trials",
        "2",
        "--store",
        str(store),
        "--warm-start-mlflow",
        f"sqlite:///{elsewhere}/mlflow.db",
    ]
    status, output, _ = run(*command)
    assert status == 0, output
    # The space has two points, which four of a Sobol sequence cover; the search's own run in MLflow is not a cell.
    assert "From MLflow: 2 of 3 runs are taken over; left out: 1 not of a cell." in output
    assert "2 trials: 0 run, 2 answered from the store, 0 failed; besides 2 warm-started" in output
    refused(
        run(*search, "--trials", "2", "--store", str(store), "--warm-start-mlflow", "sqlite:///no.db"), "no file no.db"
    )
