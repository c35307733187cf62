"""A grid while everything goes wrong.

In the end no cell is lost, none was run twice to completion, MLflow has one run a cell, and the table is that of an
undisturbed run, to the byte.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import chaos
from survival import GRID, environment, options, whole


@pytest.fixture
def grid(tmp_path):
    """A grid of three rows that train, and one whose loss becomes NaN."""
    path = tmp_path / "chaos.toml"
    path.write_text(GRID)
    return path


def test_a_grid_survives(store, tmp_path, teacher_store, grid, run):
    faults, witness, rng = tmp_path / "faults.json", chaos.Witness(store), random.Random(0)
    # In three processes: killed in its second epoch; killed in its third; then a full disk and too little memory.
    faults.write_text(json.dumps([[2, "kill"], [3, "kill"], [1, "disk"], [3, "memory"]]))
    command = [*chaos.FAULTY, "ablate", *options(store, grid), "--executor", "local"]
    for _ in range(2):
        driver = subprocess.run(command, env=environment(faults), capture_output=True, text=True, timeout=250)
        assert driver.returncode == -9, driver.stdout + driver.stderr
        witness.look()
        assert chaos.truncate_a_state(store, rng)
    (store / "mlflow.db").replace(store / "elsewhere.db")  # MLflow's database goes away
    (store / "mlflow.db").mkdir()
    driver = subprocess.run(command, env=environment(faults), capture_output=True, text=True, timeout=250)
    assert driver.returncode == 0, driver.stdout + driver.stderr
    assert "MLflow was not written" in driver.stdout
    assert json.loads(faults.read_text()) == []
    assert witness.look() == 4
    (store / "mlflow.db").rmdir()
    (store / "elsewhere.db").replace(store / "mlflow.db")  # and comes back
    assert run("mlflow", "sync", "--store", str(store))[0] == 0
    witness.look()
    whole(store, grid, run, Path(shutil.copytree(teacher_store, tmp_path / "undisturbed")))


KILLS = 25


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_grid_on_ray_survives_many_kills(store, tmp_path, teacher_store, grid, run):
    rng, witness, kills, truncated = random.Random(7), chaos.Witness(store), 0, 0
    grown = {"seeds": "0,1,2", "epochs": 12}
    command = [*chaos.DFKD, "ablate", *options(store, grid, **grown), "--retries", "100"]
    hidden, hidings = False, 0
    while True:
        driver = subprocess.Popen(
            command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        victims_left = rng.randint(3, 6)
        while driver.poll() is None:
            witness.look()
            time.sleep(rng.uniform(0.5, 2.0))
            workers = [pid for pid, name in chaos.descendants(driver.pid).items() if "ImplicitFunc" in name]
            cut = truncated <= kills // 8 and any(store.glob("cells/*/state.pt"))
            if workers and (kills < KILLS or (cut and not truncated)):
                victims = workers if cut else [rng.choice(workers)]  # all, so that nobody writes the state anew
                chaos.kill(*victims)
                kills += len(victims)
                victims_left -= len(victims)
                truncated += chaos.truncate_a_state(store, rng) if cut else 0
            if hidings < min(kills, KILLS) // 5:
                hidden, hidings = _hide(store, hidden), hidings + 1
            if kills < KILLS and victims_left <= 0:
                chaos.kill(driver.pid, *chaos.descendants(driver.pid))
                kills += 1
        driver.wait()
        if driver.returncode == 0:
            break
        assert driver.returncode == -9, driver.returncode
    assert kills >= KILLS, kills
    assert truncated > 0
    if hidden:
        _hide(store, hidden)
    assert run("mlflow", "sync", "--store", str(store))[0] == 0
    assert witness.look() == 12
    whole(store, grid, run, Path(shutil.copytree(teacher_store, tmp_path / "undisturbed")), **grown)


def _hide(store, hidden):
    """Take MLflow's database away, or bring it back; return which."""
    if hidden:
        (store / "mlflow.db").rmdir()
        (store / "elsewhere.db").replace(store / "mlflow.db")
    else:
        (store / "mlflow.db").replace(store / "elsewhere.db")
        (store / "mlflow.db").mkdir()
    return not hidden


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not sys.platform.startswith("linux") or os.geteuid() != 0, reason="mounting needs privilege")
def test_a_disk_that_is_really_full(teacher_store, tmp_path, grid, run):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", str(disk)], check=True)
    try:
        store = Path(shutil.copytree(teacher_store, disk / "runs"))
        command = [*chaos.DFKD, "ablate", *options(store, grid, epochs=5), "--executor", "local"]
        driver = subprocess.Popen(
            command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        # States are of 28 MB, and lie there twice while they are replaced.
        assert chaos.wait_for(lambda: any(store.glob("cells/*/state.pt")) or driver.poll() is not None, 200)
        assert driver.poll() is None, driver.communicate()[0]
        chaos.fill(disk / "filler")
        output = driver.communicate(timeout=400)[0]
        assert driver.returncode != 0, output
        assert "0 MiB are free on the store's disk" in output or "There must be room" in output, output
        (disk / "filler").unlink()
        again = subprocess.run([*command, "--release"], env=environment(), capture_output=True, text=True, timeout=400)
        assert again.returncode == 0, again.stdout + again.stderr
        undisturbed = Path(shutil.copytree(teacher_store, tmp_path / "undisturbed"))
        whole(store, grid, run, undisturbed, epochs=5)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
