"""Tables from the run store or from MLflow."""

from harness.records import plan_columns
from reports.checks import check_columns
from reports.columns import column_parts, columns_sheet, file_part
from reports.comparison import comparison, in_words
from reports.datasets import Part, column_titles
from reports.derivation import derivation
from reports.errors import ReportError
from reports.explain import explain, explained
from reports.formats import FORMATS, write
from reports.frame import load_runs, runs_frame
from reports.page import page
from reports.published import published
from reports.render import COLUMNS, DEFAULT_COLUMNS, ablation_sheet, render
from reports.runs import render_runs, runs_table
from reports.sources import choose_plan, mlflow_links, open_source
from reports.table import SELECTIONS, ablation_table

__all__ = [
    "COLUMNS",
    "DEFAULT_COLUMNS",
    "FORMATS",
    "SELECTIONS",
    "Part",
    "ReportError",
    "ablation_sheet",
    "ablation_table",
    "check_columns",
    "choose_plan",
    "column_parts",
    "column_titles",
    "columns_sheet",
    "comparison",
    "derivation",
    "explain",
    "explained",
    "file_part",
    "in_words",
    "load_runs",
    "mlflow_links",
    "open_source",
    "page",
    "plan_columns",
    "published",
    "render",
    "render_runs",
    "runs_frame",
    "runs_table",
    "write",
]
