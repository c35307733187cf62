"""Tables from the run store."""

from reports.frame import runs_frame
from reports.render import FORMATS, render
from reports.runs import render_runs, runs_table
from reports.table import SELECTIONS, ablation_table

__all__ = ["FORMATS", "SELECTIONS", "ablation_table", "render", "render_runs", "runs_frame", "runs_table"]
