"""A search while everything goes wrong, and both a grid and a search on a cluster whose machines die.

In the end every trial has come to what it would have come to undisturbed, none is left under way, no cell was run twice
to completion, and MLflow has one run a cell.
"""

import json
import os
import random
import shutil
import subprocess
import time

import optuna
import pytest
from mlflow.tracking import MlflowClient
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

import chaos
import harness.cells
from harness.mirror import CELL_TAG, EXPERIMENT
from harness.store import Store
from small import sets
from survival import GRID, environment, options, whole

SPACE = """
[parameters]
"student.learning_rate" = { choices = [0.01, 0.02, 0.04, 1e30] }
"student_loss.mhad.weight" = { low = 0.0, high = 100.0, step = 1.0 }
"""
"""With the last rate the loss becomes NaN."""

TRIALS = 4


@pytest.fixture
def space(tmp_path):
    """A space of three rates that train, and one that does not."""
    path = tmp_path / "space.toml"
    path.write_text(SPACE)
    return path


def searching(store, space, *, trials=TRIALS, epochs=2):
    schedule = (f"schedule.epochs={epochs}", "schedule.iterations_per_epoch=2")
    sought = ["--trials", str(trials), "--objectives", "agreement", "--sampler", "random", "--seed", "1"]
    return ["search", str(space), *sought, "--budget", "smoke", "--store", str(store), *sets(*schedule)]


def trials_of(store):
    (path,) = store.glob("studies/*/journal.log")
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(path)))
    (study,) = optuna.study.get_all_study_summaries(storage)
    return optuna.load_study(study_name=study.study_name, storage=storage).trials


def whole_search(store, undisturbed):
    """Assert what must hold in the end; the suggestions are those of the undisturbed search."""
    found, expected = trials_of(store), trials_of(undisturbed)
    assert [(t.params, t.state, t.values) for t in found] == [(t.params, t.state, t.values) for t in expected]
    assert {t.state for t in found} == {TrialState.COMPLETE, TrialState.FAIL}  # one rate is too high
    chaos.epochs_are_whole(store)
    cells = {t.user_attrs["cell"] for t in found}
    assert {Store(store).read(cell_id).status for cell_id in cells} == {"done", "diverged"}
    client = MlflowClient(f"sqlite:///{store / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
    assert sorted(run.data.tags[CELL_TAG] for run in runs if CELL_TAG in run.data.tags) == sorted(cells)


def test_a_search_survives(store, tmp_path, teacher_store, space, run, monkeypatch):
    faults, witness, rng = tmp_path / "faults.json", chaos.Witness(store), random.Random(0)
    # A process that is killed in its second epoch; then, here, a full disk and too little memory.
    faults.write_text(json.dumps([[2, "kill"], [1, "disk"], [3, "memory"]]))
    command = [*chaos.FAULTY, *searching(store, space), "--executor", "local"]
    driver = subprocess.run(command, env=environment(faults), capture_output=True, text=True, timeout=250)
    assert driver.returncode == -9, driver.stdout + driver.stderr
    witness.look()
    assert chaos.truncate_a_state(store, rng)
    with monkeypatch.context() as patched:
        patched.setattr(harness.cells.RunLog, "append", chaos.faulty_append(faults))
        assert run(*searching(store, space), "--executor", "local")[0] == 0
    assert json.loads(faults.read_text()) == []
    witness.look()
    undisturbed = shutil.copytree(teacher_store, tmp_path / "undisturbed")
    assert run(*searching(undisturbed, space), "--executor", "local")[0] == 0
    whole_search(store, undisturbed)


class Nodes:
    """A Ray cluster in processes of this machine; its machines but the first can die."""

    def __init__(self):
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        self.others = [self.cluster.add_node(num_cpus=1)]
        self.cluster.wait_for_nodes()

    def kill(self):
        """Kill a machine with all that runs on it, and put another one in its place."""
        self.cluster.remove_node(self.others.pop(), allow_graceful=False)
        self.others.append(self.cluster.add_node(num_cpus=1))


@pytest.fixture
def nodes():
    """Two Ray nodes."""
    made = Nodes()
    yield made
    made.cluster.shutdown()


KILLS = 25
"""Of machines, workers and drivers, in the grid and in the search together."""


def through_kills(command, nodes, witness, rng, *, kills):
    """Give the command until it ends by itself, with so many kills on the way; return how many of each kind."""
    done = {"node": 0, "worker": 0, "driver": 0}
    while True:
        driver = subprocess.Popen(
            [*command, "--address", nodes.cluster.address, "--retries", "100"],
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while driver.poll() is None:
            witness.look()
            time.sleep(rng.uniform(0.5, 2.0))
            workers = [pid for pid, name in chaos.descendants(os.getpid()).items() if "ImplicitFunc" in name]
            if sum(done.values()) < kills and workers:
                victim = rng.choice(["node", "worker", "worker", "driver"])
                done[victim] += 1
                match victim:
                    case "node":
                        nodes.kill()
                    case "worker":
                        chaos.kill(rng.choice(workers))
                    case _:
                        chaos.kill(driver.pid)
        driver.wait()
        if driver.returncode == 0:
            return done
        assert driver.returncode == -9, driver.returncode


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_grid_and_a_search_survive_on_machines_that_die(store, tmp_path, teacher_store, space, nodes, run):
    rng, undisturbed = random.Random(11), shutil.copytree(teacher_store, tmp_path / "undisturbed")
    searched, calm = (shutil.copytree(teacher_store, tmp_path / name) for name in ("searched", "calm"))
    (tmp_path / "chaos.toml").write_text(GRID)
    grown, grid = {"seeds": "0,1,2", "epochs": 12}, tmp_path / "chaos.toml"
    witness = chaos.Witness(store)
    command = [*chaos.DFKD, "ablate", *options(store, grid, **grown)]
    killed = through_kills(command, nodes, witness, rng, kills=KILLS // 2)
    assert witness.look() == 12
    assert run("mlflow", "sync", "--store", str(store))[0] == 0
    whole(store, grid, run, undisturbed, **grown)

    witness = chaos.Witness(searched)
    length = {"trials": 12, "epochs": 12}
    command = [*chaos.DFKD, *searching(searched, space, **length)]
    more = through_kills(command, nodes, witness, rng, kills=KILLS - KILLS // 2)
    witness.look()
    assert run("mlflow", "sync", "--store", str(searched))[0] == 0
    assert run(*searching(calm, space, **length), "--executor", "local")[0] == 0
    whole_search(searched, calm)
    total = {kind: killed[kind] + more[kind] for kind in killed}
    assert sum(total.values()) == KILLS, total
    assert all(total.values()), total
