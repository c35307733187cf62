"""Tables from the run store or from MLflow."""

from reports.errors import ReportError
from reports.frame import load_runs, runs_frame
from reports.render import FORMATS, render
from reports.runs import render_runs, runs_table
from reports.sources import choose_plan, open_source
from reports.table import SELECTIONS, ablation_table

__all__ = [
    "FORMATS",
    "SELECTIONS",
    "ReportError",
    "ablation_table",
    "choose_plan",
    "load_runs",
    "open_source",
    "render",
    "render_runs",
    "runs_frame",
    "runs_table",
]
