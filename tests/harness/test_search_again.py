"""Trials whose cells lack memory, fail or die: run again as in a grid, and never a value of the study."""

import sys

import pytest
from optuna.trial import TrialState

import harness.executors.tune
import harness.search.again
from harness.cells import run_cell
from harness.failures import INPUT, KILLED, MEMORY, attempts, record_failure
from harness.packing import Packing
from harness.records import read_json, write_json
from harness.room import Room
from harness.search.again import Again
from harness.search.loop import Limits, Search
from harness.search.objectives import OBJECTIVES
from harness.search.run import run_stream
from harness.search.study import open_study
from outcome import refused
from searching import BETA, Bench, Killed, bowl, finish, points, states
from small import sets

WHOLE = Room(4, 0)
ACCURACY = (OBJECTIVES["accuracy"],)


class Cores:
    """Four cores and a search on them: ``ends`` says how an attempt at a cell ends, given configuration and room."""

    def __init__(self, root, ends, *, sampler="random", retries=1):
        self.bench, self.ends, self.retries = Bench(root, sampler=sampler), ends, retries
        self.rooms, self.ran, self.said = [], [], []

    def stream(self, feed, where, room):
        """Run cells as an executor does, the first to start being the first to end."""
        self.rooms.append(room.cpus)
        running, asks = [], True
        while True:
            while asks and len(running) < WHOLE.cpus // room.cpus:  # once there is none, Tune asks no more
                if asks := (cell_id := feed.next_cell()) is not None:
                    running.append(cell_id)
            if not running:
                return WHOLE
            cell_id = running.pop(0)
            self.ran.append(cell_id)
            store = self.bench.store
            config = read_json(store.cell(cell_id) / "config.json")["config"]
            match self.ends(config, room.cpus, self.ran.count(cell_id)):
                case "done":
                    finish(store, cell_id, bowl(config))
                case "diverged":
                    write_json(store.cell(cell_id) / "diverged.json", {"error": "nan"})
                case ("dies", text):
                    feed.died(cell_id, text)
                case kind:
                    record_failure(store, cell_id, error=kind, trace="", kind=kind)
            feed.done(cell_id)

    def search(self, trials, *, cpus=1):
        """Run the search; return its trials."""
        with open_study(
            self.bench.root / "studies/s", space=self.bench.points.space, directions=[ACCURACY[0].direction]
        ) as study:
            search = Search(
                study,
                self.bench.points,
                self.bench.store,
                objectives=ACCURACY,
                sampler=self.bench.sampler,
                seed=0,
                limits=Limits(trials),
                again=Again(self.bench.store, retries=self.retries, say=self.said.append),
            )
            run_stream(self.stream, search, None, Room(cpus, 0))
            return study.trials


def always(config, cpus, attempt):
    return "done"


def test_too_little_memory_means_half_the_company_and_no_trial_without_a_value(tmp_path):
    def ends(config, cpus, attempt):
        return MEMORY if cpus < (4 if config[BETA] > 80 else 2 if config[BETA] > 50 else 1) else "done"

    tight = Cores(tmp_path / "tight", ends)
    found = tight.search(12)
    assert tight.rooms == [1, 2, 4]
    assert set(states(found)) == {TrialState.COMPLETE}
    # What is suggested at random is no matter of the order of ends.
    assert points(found) == points(Cores(tmp_path / "roomy", always).search(12))
    assert [trial.value for trial in found] == [pytest.approx(bowl({**BASE, **trial.params})) for trial in found]
    assert "again with half the company" in tight.said[0]
    assert not any(attempts(tight.bench.store, cell_id) for cell_id in tight.ran)


BASE = {"student_loss.mhad.orders": "1+2+3"}
"""What a point without orders has: at beta 0 they are no parameter."""


def test_alone_and_still_too_little_is_a_failed_trial_and_the_rest_go_on(tmp_path):
    cores = Cores(tmp_path, lambda config, cpus, attempt: MEMORY if config[BETA] > 50 else "done", retries=0)
    found = cores.search(8, cpus=2)
    assert cores.rooms[:2] == [2, 4]
    failed = [trial for trial in found if trial.state == TrialState.FAIL]
    assert {trial.params[BETA] > 50 for trial in failed} == {True}
    assert all(trial.values is None for trial in failed)
    assert len([trial for trial in found if trial.state == TrialState.COMPLETE]) == 8 - len(failed) > 0


def test_what_fails_is_run_again_before_anything_else_and_moves_no_suggestion(tmp_path):
    shaky = Cores(tmp_path / "a", lambda config, cpus, attempt: "error" if attempt == 1 else "done", sampler="tpe")
    steady = Cores(tmp_path / "b", always, sampler="tpe")
    found = [cores.search(6, cpus=4) for cores in (shaky, steady)]
    assert points(found[0]) == points(found[1])
    assert [trial.values for trial in found[0]] == [trial.values for trial in found[1]]
    assert shaky.ran == [cell_id for cell_id in steady.ran for _ in range(2)]
    assert shaky.rooms == [4]


@pytest.mark.parametrize(("end", "times"), [("error", 3), (INPUT, 1), ("diverged", 1), (("dies", "SIGKILL"), 3)])
def test_what_keeps_failing_has_no_value(tmp_path, end, times):
    cores = Cores(tmp_path, lambda config, cpus, attempt: end, retries=2)
    found = cores.search(2, cpus=4)
    assert states(found) == [TrialState.FAIL] * 2
    assert [trial.values for trial in found] == [None, None]
    assert [cores.ran.count(cell_id) for cell_id in dict.fromkeys(cores.ran)] == [times] * 2


@pytest.mark.parametrize(
    ("text", "kind", "rooms"),
    [("ActorDiedError\nSIGKILL", KILLED, [1, 1]), ("killed, the node was running low on memory", MEMORY, [1, 2])],
)
def test_a_worker_that_dies_without_a_word(tmp_path, text, kind, rooms):
    cores = Cores(tmp_path, lambda config, cpus, attempt: ("dies", text) if attempt == 1 else "done")
    assert states(cores.search(3)) == [TrialState.COMPLETE] * 3
    assert cores.rooms == rooms  # they died when there was nothing more to suggest
    assert {len(attempts_of(cores, cell_id)) for cell_id in cores.ran} == {1 if kind == KILLED else 0}


def attempts_of(cores, cell_id):
    path = cores.bench.store.cell(cell_id) / "failures.jsonl"
    return path.read_text().splitlines() if path.exists() else []


def test_a_kill_right_after_memory_did_not_suffice_loses_no_trial(tmp_path):
    cores = Cores(tmp_path, lambda config, cpus, attempt: MEMORY if cpus < 2 else "done")
    noticed = Search.done

    def killed(search, cell_id):
        raise Killed

    Search.done = killed
    try:
        with pytest.raises(Killed):
            cores.search(3)
    finally:
        Search.done = noticed
    assert states(cores.search(3)) == [TrialState.COMPLETE] * 3


def test_a_cell_on_a_machine_that_may_be_dead_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(harness.search.again, "PERIOD", 0.01)
    cores = Cores(tmp_path, lambda config, cpus, attempt: ("dies", "lost node") if attempt == 1 else "done")
    store, looks = cores.bench.store, iter([True] * 3)
    monkeypatch.setattr(type(store), "is_held", lambda self, cell_id: next(looks, False))
    assert states(cores.search(1, cpus=4)) == [TrialState.COMPLETE]
    assert cores.ran[0] == cores.ran[1]


SPACE = '[parameters]\n"student_loss.mhad.weight" = { low = 0.0, high = 100.0, step = 1.0 }\n'


def trial_that_needs_two_cores(config, *, where, share, patience):
    """Stand in for ``tune._trial``: memory suffices for a cell that has two cores to itself."""
    import ray

    def too_little(record):
        raise MemoryError

    crowded = ray.get_runtime_context().get_assigned_resources()["CPU"] < 2
    run_cell(config["cell"], where, report=too_little if crowded else None, patience=patience)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_a_packed_search_through_ray_gives_way_to_memory(run, store, tmp_path, monkeypatch):
    import ray

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setattr(harness.executors.tune, "_trial", trial_that_needs_two_cores)
    packings = []

    def pack(config, *arguments, **options):
        packings.append(config.student_loss.mhad.weight)
        return Packing(2, 1, 1.5), True

    monkeypatch.setattr("harness.company.pack", pack)
    (tmp_path / "one.toml").write_text(SPACE)
    common = [str(tmp_path / "one.toml"), "--budget", "smoke", "--objectives", "agreement", "--store", str(store)]
    status, output, _ = run("search", *common, *sets(), "--trials", "3", "--pack", "auto")
    assert (status, "3 trials: " in output) == (0, True), output
    assert "Packing: 2 cells at a time share the processor" in output
    assert "again with half the company" in output
    assert packings == [100.0]  # measured at an end of the space where the term is on
    assert len(list((store / "cells").glob("*/result.json"))) == 3
    assert not list((store / "cells").glob("*/failure.json"))


@pytest.mark.parametrize("other", [["--executor", "local"], ["--address", "127.0.0.1:1"]])
def test_packing_a_search_measures_this_machine(run, tmp_path, other):
    options = ["--trials", "1", "--pack", "auto", *other, "--store", str(tmp_path / "runs"), *sets()]
    refused(run("search", "attention_orders", *options), "--pack auto", other[0])
    assert not (tmp_path / "runs").exists()
