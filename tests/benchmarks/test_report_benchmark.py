"""Tables of ten thousand runs take seconds."""

import time

import pytest

from benchmarks.report import write_store
from reports import ablation_sheet, choose_plan, open_source, runs_frame, write


@pytest.mark.slow
def test_a_table_of_ten_thousand_runs_takes_three_seconds(tmp_path):
    write_store(tmp_path, 10_000)
    plan = choose_plan(open_source(tmp_path))
    start = time.process_time()  # of this process alone: other work on the machine does not count
    text = write(ablation_sheet(runs_frame(tmp_path, plan), plan=plan), "markdown")
    assert time.process_time() - start < 3
    assert len(text.splitlines()) >= 2000
