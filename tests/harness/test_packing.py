"""How many cells run side by side: decisions from measurements, by hand; and the measurement on a processor."""

import os

import pytest

import harness.company
from harness.company import ProbeError, costliest, measure, pack
from harness.driver import prepare
from harness.layers import parse_settings
from harness.packing import Measured, candidates, choose, data_limit, fitting, memory_cap, next_company
from harness.plan import expand
from harness.room import Room
from harness.store import Store
from outcome import refused
from search_spaces import load_grid
from small import SMALL, sets

GIB = 2**30


def test_ways_to_divide_a_processor():
    assert candidates(2) == [(1, 2), (2, 1)]
    assert candidates(12) == [(1, 12), (2, 6), (3, 4), (4, 3), (6, 2), (12, 1)]
    assert candidates(1) == [(1, 1)]


def test_what_fits_has_headroom():
    # 80 GiB, of which 95 % are used; a peak of 10 GiB is given 12: 76 / 12 = 6.3
    assert fitting(10 * GIB, 80 * GIB) == 6
    assert fitting(100 * GIB, 80 * GIB) == 1  # alone it is tried whatever it takes


def test_the_most_steps_a_second_win():
    # 4 cores: 1 x 4 threads 1/2.0 = 0.5, 2 x 2 2/3 = 0.67, 4 x 1 4/4.5 = 0.89 rounds a second
    measured = [Measured(1, 4, 2.0, GIB), Measured(2, 2, 3.0, GIB), Measured(4, 1, 4.5, GIB)]
    packing = choose(measured, available=64 * GIB)
    assert (packing.cells, packing.threads) == (4, 1)
    assert packing.gain == pytest.approx(4 / 4.5 * 2)


def test_more_company_for_little_is_not_worth_its_memory():
    # 2 cells 2/2 = 1.0, 4 cells 4/3.9 = 1.03: 3 % more
    measured = [Measured(1, 1, 1.5, GIB), Measured(2, 1, 2.0, GIB), Measured(4, 1, 3.9, GIB)]
    assert choose(measured, available=64 * GIB).cells == 2


def test_what_does_not_fit_is_not_chosen_however_fast():
    measured = [Measured(1, 2, 1.0, 3 * GIB), Measured(2, 1, 1.0, 3 * GIB)]
    assert choose(measured, available=8 * GIB).cells == 2  # 7.6 / 3.6 = 2.1
    assert choose(measured, available=7 * GIB).cells == 1  # 6.65 / 3.6 = 1.8


def test_company_that_slows_down_is_declined():
    measured = [Measured(1, 1, 1.0, GIB), Measured(2, 1, 2.5, GIB)]
    assert (choose(measured, available=64 * GIB).cells, choose(measured, available=64 * GIB).gain) == (1, 1.0)


def test_a_cell_must_have_been_measured_alone():
    with pytest.raises(ValueError, match="alone"):
        choose([Measured(2, 1, 1.0, GIB)], available=GIB)


def test_a_gpu_is_tried_with_twice_as_many_while_that_fits_and_pays():
    alone = Measured(1, 1, 1.0, 10 * GIB)
    assert next_company([alone], available=80 * GIB, most=16) == 2
    paid = [alone, Measured(2, 1, 1.2, 10 * GIB)]  # 1.67 against 1.0 rounds a second
    assert next_company(paid, available=80 * GIB, most=16) == 4
    assert next_company(paid, available=80 * GIB, most=3) is None  # too few cores for four
    assert next_company(paid, available=40 * GIB, most=16) is None  # 38 / 12 = 3.2: four do not fit
    in_vain = [alone, Measured(2, 1, 1.95, 10 * GIB)]  # 1.03 against 1.0
    assert next_company(in_vain, available=80 * GIB, most=16) is None


def test_the_hard_cap_leaves_room_for_contexts():
    # half of 80 GiB less 5 % is 38, less a context of 1 GiB is 37: 37 / 80
    assert memory_cap(0.5, total=80 * GIB, context=GIB) == pytest.approx(0.4625)
    assert 4 * (memory_cap(0.25, total=80 * GIB, context=GIB) * 80 + 1) <= 80
    assert memory_cap(0.01, total=4 * GIB, context=GIB) == 0.01


def test_the_cap_of_a_process_leaves_what_it_has_mapped_and_lets_it_grow_to_its_share():
    # half of 20 GiB less 5 % is 9.5, of which it holds 1; 3 are mapped, for stacks of threads, say
    assert data_limit(0.5, total=20 * GIB, held=GIB, mapped=3 * GIB) == 11.5 * GIB
    assert data_limit(0.01, total=20 * GIB, held=GIB, mapped=3 * GIB) == 3 * GIB  # it holds its share already


def test_a_share_of_memory_is_that_of_a_cell_beside_as_much_company_as_there_is_room_for():
    whole = Room(8, 0)
    assert [Room(cpus, 0).memory_share(whole) for cpus in (1, 3, 4, 5, 8)] == [1 / 8, 1 / 2, 1 / 2, 1, 1]
    assert Room(1, 0, workers=2).memory_share(whole) == 1 / 2
    assert Room(1, 0.25).memory_share(Room(8, 1)) == 0.25  # of a GPU


@pytest.fixture
def prepared(store):
    """Table3 at the smoke budget, prepared, with its store."""
    settings = parse_settings(SMALL)
    request = expand(load_grid("table3"), dataset="digits", budget="smoke", seeds=(0,), settings=settings)
    opened = Store(store)
    return opened, prepare(request, store=opened, data_root=None, teacher=None, teacher_needed=True, cache=True)


def place(prepared):
    """Return what a probe needs besides its configuration."""
    (inputs,) = prepared.inputs.values()
    about = {"teacher": inputs.teacher_path, "class_names": inputs.class_names}
    return {**about, "data_root": None, "device": "cpu"}


@pytest.mark.slow
def test_probes_side_by_side_on_the_processor(prepared, monkeypatch):
    store, plan = prepared
    config = costliest(list(plan.cells.values()))
    assert config.student_loss.mhad.weight > 0 < config.student_loss.sfcl.weight  # the whole method
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    options = {**place(plan), "machine": {"processor": "x"}, "cpus_per_trial": 1}
    packing, now = pack(config, store, **options)
    assert now
    assert (packing.cells, packing.threads) in candidates(2)
    monkeypatch.setattr(harness.company, "measure", None)  # a second time nothing is measured
    assert pack(config, store, **options) == (packing, False)


@pytest.mark.slow
def test_a_probe_that_fails_is_said(prepared):
    store, plan = prepared
    config = costliest(list(plan.cells.values()))
    with pytest.raises(ProbeError, match=r"1 probes at once: CheckpointError: .*none\.pt"):
        measure(config, cells=1, threads=1, **{**place(plan), "teacher": store.root / "none.pt"})


@pytest.mark.parametrize("other", [["--executor", "local"], ["--address", "127.0.0.1:1"]])
def test_packing_measures_this_machine(run, tmp_path, other):
    outcome = run("ablate", "table3", "--pack", "auto", *other, "--store", str(tmp_path / "runs"), *sets())
    refused(outcome, "--pack auto", other[0])
    assert not (tmp_path / "runs").exists()
