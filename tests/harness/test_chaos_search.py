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

import pytest

import chaos
import harness.cells
from small import sets
from survival import GRID, SPACE, environment, options, searching, trials_of, whole, whole_search


@pytest.fixture
def space(tmp_path):
    """A space of three rates that train, and one that does not."""
    path = tmp_path / "space.toml"
    path.write_text(SPACE)
    return path


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


def written(store):
    """Return how many lines the journal of the store's one study has."""
    return sum(path.read_bytes().count(b"\n") for path in store.glob("studies/*/journal.log"))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_hundred_real_trials_killed_five_times_are_those_of_an_undisturbed_search(store, tmp_path, space, run):
    rng, witness, trials, kills = random.Random(5), chaos.Witness(store), 100, 5
    taught = "teacher.epochs=8"  # a teacher with which agreement is of many values
    options = {"trials": trials, "epochs": 2, "sampler": "tpe", "settings": (taught,)}
    assert run("teacher", "digits", "--store", str(store), *sets(taught))[0] == 0
    undisturbed = shutil.copytree(store, tmp_path / "undisturbed")
    assert run(*searching(undisturbed, space, **options), "--executor", "local")[0] == 0
    values = {trial.values[0] for trial in trials_of(undisturbed) if trial.values}
    assert len(values) > 5  # what is suggested depends on them
    command = [*chaos.DFKD, *searching(store, space, **options), "--workers", "1"]  # through Ray
    for kill in range(kills + 1):
        output = (tmp_path / f"output-{kill}").open("w+")
        driver = subprocess.Popen(command, env=environment(), stdout=output, stderr=output)
        if kill == kills:
            break
        while written(store) < written(undisturbed) * (kill + 1) // (kills + 1) and driver.poll() is None:
            witness.look()
            time.sleep(0.05)
        time.sleep(rng.uniform(0.0, 1.0))
        chaos.kill(driver.pid, *chaos.descendants(driver.pid))  # with Ray's daemons and the worker
        assert driver.wait() == -9, output.name
    assert driver.wait() == 0, output.name
    witness.look()
    assert len(trials_of(store)) == trials
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
