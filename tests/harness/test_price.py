"""The price of a plan, by hand: medians of steps, like cells, wall time on slots, what a budget leaves out."""

import pytest

import harness.rates
from dfkd import NUMERICS
from dfkd.config import RunConfig
from dfkd.overrides import with_overrides
from harness.cli.price import price_words
from harness.plan import Cell
from harness.price import Estimate, Price, Slots, price_cells, spent_hours
from harness.rates import Rates, like_cells, rates_of
from harness.records import Plan, PlannedCell, write_json
from harness.shape import shape_of
from harness.store import RunLog, Store

MACHINE = {"processor": "P", "device": "cpu", "threads": 1}
SHORT = {
    "schedule.epochs": 4,
    "schedule.iterations_per_epoch": 1,
    "schedule.generator_steps": 10,
    "schedule.student_steps": 5,
}


def cell(**overrides):
    return Cell(
        with_overrides(RunConfig(), {**SHORT, **{k.replace("__", "."): v for k, v in overrides.items()}}), "t", "f"
    )


def record(epoch, *, generator=10.0, student=10.0, beside=0.0, cores=1.0):
    seconds = generator + student + beside
    phases = {"generator_step_seconds": generator, "student_step_seconds": student}
    return {"epoch": epoch, "seconds": seconds, "cpu_seconds": cores * seconds, **phases}


def put(store, cell, records, *, done=True, machine=MACHINE, numerics=NUMERICS):
    """Store a cell that ran: ``done`` writes its result, else what an unfinished one has."""
    folder = store.cell(cell.id)
    write_json(folder / "config.json", cell.record() | {"numerics": numerics})
    log = RunLog(folder)
    for each in records:
        log.append(each)
    write_json(folder / ("result.json" if done else "training.json"), {"environment": machine})


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def price(store, cells, *, slots=None, probe=None):
    cells = {each.id: each for each in cells}
    slots = slots or Slots(1, 1, 0)
    return price_cells(cells, list(cells), store=store, machine=MACHINE, slots=slots, probe=probe)


def test_a_steps_seconds_are_medians_with_their_share_of_what_is_beside_them():
    config = cell().record()["config"]
    # Generator steps took 1, 1 and 9 seconds: 10 in an epoch of 10 steps, then 90. Half as much again was beside them.
    records = [record(1, beside=10), record(2, beside=10), record(3, generator=90, beside=50)]
    rates = rates_of([(config, records)])
    assert rates.seconds == {"generator": pytest.approx(1.5), "student": pytest.approx(3.0)}
    assert rates.cores == 1
    assert rates_of([(config, [])]) is None


def test_the_time_in_which_a_run_was_stopped_from_outside_is_no_price():
    config = cell().record()["config"]
    # Two cores for 20 seconds an epoch; in three of four epochs the clock went on while the run stood still.
    disturbed = [record(1, cores=2), *({**record(e, generator=70, student=30), "cpu_seconds": 40.0} for e in (2, 3, 4))]
    rates = rates_of([(config, disturbed)])
    # Processor time: 40 s an epoch, of which the generator's ten steps have 20 s in the first and 28 s in the others.
    assert rates.seconds == {"generator": pytest.approx(2.8 / 2), "student": pytest.approx(2.4 / 2)}
    assert rates.cores == 2
    on_gpu = rates_of([(config, disturbed)], device="NVIDIA H100")  # whose time is the clock's: 100 s an epoch
    assert on_gpu.seconds == {"generator": 7.0, "student": 6.0}
    assert on_gpu.cores == pytest.approx(0.4)


def test_a_new_cell_is_priced_from_finished_ones_of_its_shape(store):
    put(store, cell(seed=1), [record(1, cores=2), record(2, cores=2)])
    put(store, cell(seed=2), [record(1, cores=2)], done=False)
    # 1 s a generator step, 2 s a student step; 4 epochs of 10 and 5 steps: 80 s, 160 of processor time.
    found = price(store, [cell(seed=0, student__learning_rate=0.5)])
    assert list(found.estimates.values()) == [Estimate(80, 160, "like cells")]
    assert (found.finished, found.under_way, found.unknown) == (1, 1, ())
    assert found.hours() == pytest.approx(160 / 3600)
    # Half as many student steps an epoch: 10 + 2 x 2 s.
    assert price(store, [cell(schedule__student_steps=2)]).wall_seconds == 4 * 14


@pytest.mark.parametrize(
    "other",
    [
        {"machine": MACHINE | {"processor": "Q"}},
        {"machine": MACHINE | {"device": "NVIDIA H100"}},
        {"machine": MACHINE | {"threads": 2}},
        {"numerics": NUMERICS - 1},
        {"records": []},
    ],
)
def test_another_machine_another_trainer_or_no_epoch_is_not_like(store, other):
    put(store, cell(seed=1), **{"records": [record(1)], **other})
    found = price(store, [cell(seed=0)])
    assert found.unknown == (cell(seed=0).id,)
    assert found.hours() == found.wall_seconds == 0


def test_the_rest_of_an_unfinished_cell_is_priced_from_its_own_log(store):
    put(store, cell(seed=1), [record(1)])
    # Its own steps took twice as long; two epochs are left.
    put(store, cell(seed=0), [record(1, generator=20, student=20), record(2, generator=20, student=20)], done=False)
    assert list(price(store, [cell(seed=0)]).estimates.values()) == [Estimate(80, 80, "own log")]


def test_an_unfinished_staged_cell_takes_from_others_what_it_has_not_measured(store):
    staged = {"schedule.phases": "staged"}
    put(store, cell(seed=0, **staged), [record(1, generator=30, student=0)], done=False)
    # 60 steps in all, of which 40 of the generator come first: 15 of them were taken at 2 s in epoch 1.
    found = price(store, [cell(seed=0, **staged)])
    assert found.unknown  # nothing says what a student step takes
    put(store, cell(seed=1), [record(1)])
    (found,) = price(store, [cell(seed=0, **staged)]).estimates.values()
    # Generator steps: median of 2 (its own epoch) and 1 (the other's): 25 x 1.5, and 20 student steps at 2 s.
    assert found == Estimate(pytest.approx(77.5), pytest.approx(77.5), "like cells")


def test_a_probe_is_taken_once_a_shape_and_only_where_nothing_ran(store):
    put(store, cell(seed=1), [record(1)])
    seen = []

    def probe(config):
        seen.append(config.student.architecture)
        return Rates({"generator": 3.0, "student": 1.0}, cores=2.0)

    unseen = {"student.architecture": "resnet10"}
    found = price(store, [cell(seed=0), cell(seed=0, **unseen), cell(seed=2, **unseen)], probe=probe)
    assert seen == ["resnet10"]
    assert found.sources() == {"own log": 0, "like cells": 1, "probe": 2}
    # 4 x (10 x 3 + 5 x 1) = 140
    assert list(found.estimates.values())[1:] == [Estimate(140, 280, "probe")] * 2


def test_no_more_than_enough_cells_are_read(store, monkeypatch):
    monkeypatch.setattr(harness.rates, "ENOUGH", 2)
    for seed in range(4):
        put(store, cell(seed=seed), [record(1)])
    shape = shape_of(cell().record()["config"])
    assert like_cells(store, [shape], machine=MACHINE, numerics=NUMERICS)[shape].finished == 2


def priced(*seconds, slots=None):
    cells = {str(i): None if each is None else Estimate(each, 2.0 * each, "probe") for i, each in enumerate(seconds)}
    return Price(cells, finished=0, under_way=0, probed=1, slots=slots or Slots(1, 1, 0))


def test_wall_time_is_that_of_cells_that_start_when_a_slot_is_free():
    # On two slots: 3 and 1, then 1 after the 1, then 4 after that: 6.
    assert priced(3, 1, 1, 4, slots=Slots(2, 1, 0)).wall_seconds == 6
    assert priced(3, 1, 1, 4).wall_seconds == 9
    assert priced().wall_seconds == 0


def test_a_gpu_is_counted_by_its_share_and_cores_by_processor_time():
    assert priced(3600, 3600, slots=Slots(2, 1, 0.5)).hours() == 1
    assert priced(3600, 3600, slots=Slots(2, 1, 0)).hours() == 4


def test_a_budget_lets_run_what_fits_into_what_is_left_in_order():
    cells = priced(1800, 3600, None, 900)  # 1, 2, ? and 0.5 core-hours
    assert cells.affordable(1.5) == ("0", "3")
    assert cells.affordable(3) == ("0", "1")
    assert cells.affordable(10) == ("0", "1", "3")
    assert cells.affordable(0.1) == ()


def test_what_was_spent_is_that_of_the_logs(store):
    put(store, cell(), [record(1, cores=2), record(2, cores=2)])
    assert spent_hours(store, [cell().id], Slots(1, 1, 0)) == pytest.approx(80 / 3600)
    assert spent_hours(store, [cell().id], Slots(1, 1, 0.25)) == pytest.approx(10 / 3600)


def test_cells_run_seed_by_seed_whatever_the_order_of_the_rows():
    rows = ("A", "B")
    cells = tuple(PlannedCell(f"{row}{seed}", row, seed) for row in rows for seed in (1, 0))
    shared = (*cells, PlannedCell("A0", "C", 0))
    plan = Plan("k", "g", "t", (*rows, "C"), "A", (1, 0), shared, {})
    assert plan.running_order == ("A1", "B1", "A0", "B0")
    assert set(plan.running_order) == set(plan.ids)


def plan_of(cell):
    return Plan("k", "g", "t", ("A",), "A", (0,), (PlannedCell(cell.id, "A", 0),), {})


def test_the_peak_of_memory_is_the_highest_among_like_cells(store):
    first, second, todo = cell(seed=0), cell(seed=1), cell(seed=2)
    put(store, first, [record(1) | {"peak_memory_bytes": 2.0**30}, record(2) | {"peak_memory_bytes": 3 * 2.0**30}])
    put(store, second, [record(1)])  # of a version that did not measure it
    assert price(store, [todo]).peak_memory == 3 * 2**30
    assert "Memory: at most 3.0 GiB of memory for a cell" in price_words(plan_of(todo), price(store, [todo]), store)


def test_without_a_like_cell_no_peak_is_named(store):
    unknown = price(store, [cell()])
    assert unknown.peak_memory == 0
    assert "Memory" not in price_words(plan_of(cell()), unknown, store)
