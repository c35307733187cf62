"""The console script ``dfkd``."""

import typer

from harness.cli import (
    catalogue,
    data,
    distill,
    explain,
    export,
    figure,
    gc,
    grids,
    methods,
    mlflow,
    models,
    paper,
    rebuild,
    report,
    search,
    spaces,
    status,
    teacher,
    transfer,
)

app = typer.Typer(
    name="dfkd",
    help="Data-free knowledge distillation for fine-grained classes: a teacher, ablation grids of students, tables.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(name="teacher")(teacher.teacher)
app.command(name="distill")(distill.distill)
app.command(name="plan")(grids.plan)
app.command(name="ablate")(grids.ablate)
app.command(name="search")(search.search)
app.command(name="status")(status.status)
app.command(name="report")(report.report)
app.command(name="explain")(explain.explain)
app.command(name="figure")(figure.figure)
app.command(name="paper")(paper.paper)
app.command(name="gc")(gc.gc)
app.command(name="rebuild")(rebuild.rebuild)
app.command(name="ui")(rebuild.ui)
app.command(name="export-store")(transfer.export_store)
app.command(name="import-store")(transfer.import_store)
app.command(name="export")(export.export)
app.command(name="models")(models.models)
app.command(name="methods")(methods.methods)
app.add_typer(catalogue.app, name="grids")
app.add_typer(data.app, name="data")
app.add_typer(spaces.app, name="spaces")
app.add_typer(mlflow.app, name="mlflow")


def main() -> None:
    """Run the command line and exit with its status."""
    app()
