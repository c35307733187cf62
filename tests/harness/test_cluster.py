"""``--address``: joining a running Ray cluster, refusing one that is not there, and losing one of its machines."""

import os
import shutil
import socket
import subprocess
import sys
import time

import pytest

from harness.executors.cluster import ClusterError, join
from harness.records import read_log
from outcome import refused
from small import sets

DFKD = [sys.executable, "-c", "from harness.cli.main import main; main()"]


@pytest.fixture
def nobody():
    """A port of this machine at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


@pytest.mark.parametrize("command", [["ablate", "table3"], ["search", "attention_orders", "--trials", "1"]])
def test_an_unreachable_cluster_is_refused_in_seconds_before_any_work(run, tmp_path, nobody, command):
    start = time.monotonic()
    outcome = run(*command, "--store", str(tmp_path / "runs"), "--address", nobody)
    refused(outcome, nobody, "nothing answers", "ray start --head", "docs/cluster.md")
    assert time.monotonic() - start < 10
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("address", ["ray://host:10001", "host", "host:port", ":6379", "http://host:8265"])
def test_an_address_of_another_form_is_refused(address):
    with pytest.raises(ClusterError, match="must be HOST:PORT or auto"):
        join(address)


def test_a_cluster_without_ray_is_refused(run, tmp_path, nobody):
    outcome = run("ablate", "table3", "--store", str(tmp_path), "--address", nobody, "--executor", "local")
    refused(outcome, "--address", "--executor ray", "local")


def options(store):
    schedule = ("schedule.epochs=6", "schedule.student_steps=20", "schedule.batch_size=32")
    return ["table3", "--budget", "smoke", "--seeds", "0,1", "--store", str(store), *sets(*schedule)]


def progress(store):
    folders = sorted((store / "cells").glob("*"))
    return {folder.name: (len(read_log(folder)), (folder / "result.json").exists()) for folder in folders}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_grid_on_two_ray_nodes_completes_when_one_is_killed(store, tmp_path, teacher_store):
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, "gcs_server_port": free_port()}
    )
    try:
        worker = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        driver = subprocess.Popen(
            [*DFKD, "ablate", *options(store), "--address", cluster.address],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "RAY_ADDRESS": ""},
        )
        deadline = time.monotonic() + 400
        while time.monotonic() < deadline and driver.poll() is None:
            under_way = sum(epochs > 0 and not done for epochs, done in progress(store).values())
            if under_way >= 2 and any(done for _, done in progress(store).values()):
                break
            time.sleep(0.05)
        else:
            pytest.fail(f"never on both nodes: {progress(store)} {driver.communicate()[0]}")
        cluster.remove_node(worker, allow_graceful=False)
        output = driver.communicate(timeout=500)[0]
    finally:
        cluster.shutdown()
    assert driver.returncode == 0, output
    assert "8 of 8 cells done" in output
    alone = shutil.copytree(teacher_store, tmp_path / "alone")
    subprocess.run([*DFKD, "ablate", *options(alone), "--executor", "local"], check=True, capture_output=True)
    assert report(store) == report(alone)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def report(store):
    command = [*DFKD, "report", *options(store), "--format", "csv"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
