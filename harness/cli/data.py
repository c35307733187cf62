"""``dfkd data check`` and ``dfkd data download``: the data sets on disk."""

import json
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, track
from rich.table import Table
from rich.text import Text

from dfkd.config import DataConfig
from dfkd.errors import ConfigError
from harness.cli.options import DataRootOption, JsonOption, SetOption, errors, guarded
from harness.layers import base_config, parse_settings

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the data set: see docs/data.md.")]

SHOWN = 10
"""Findings of a kind that are printed; JSON has them all."""

app = typer.Typer(help="Check or download a data set.", no_args_is_help=True)


@app.command()
@guarded
def check(
    name: NameArgument, data_root: DataRootOption = None, settings: SetOption = None, as_json: JsonOption = False
) -> int:
    """Decode every image of a data set and say what is there and what is wrong with it.

    Exit status: 0 all is well, 1 something was found, 2 there is nothing to look at.
    """
    from dfkd.data.check import check_data

    config = base_config(name, budget=None, settings=parse_settings(settings or [])).data
    report = check_data(config, root=data_root, track=_track)
    described = {
        "dataset": config.dataset,
        "classes": config.classes,
        "data_root": str(data_root) if data_root else None,
        "well": not report.findings,
        "splits": {
            split: {"images": sum(counts.values()), "per_class": dict(counts)}
            for split, counts in report.counts.items()
        },
        "findings": [vars(finding) for finding in report.findings],
        "note": report.note,
    }
    if as_json:
        print(json.dumps(described, indent=1))
    else:
        _print(described)
    return 1 if report.findings else 0


def _track(names: Sequence[str], what: str) -> Iterable[str]:
    return track(names, what, console=errors, transient=True, disable=not errors.is_terminal)


def _print(described: dict[str, Any]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    place = f", in {described['data_root']}" if described["data_root"] else ""
    title = f"{described['dataset']}, classes {described['classes']}{place}"
    table = Table("split", "images", "classes", title=Text(title), title_justify="left", title_style="bold")
    for header in ("fewest in a class", "most in a class"):
        table.add_column(header, overflow="fold")
    for split, found in described["splits"].items():
        ordered = sorted(found["per_class"].items(), key=lambda item: item[1])
        ends = [Text(f"{count} ({name})") for name, count in (ordered[0], ordered[-1])]
        table.add_row(split, f"{found['images']:,}", str(len(ordered)), *ends)
    console.print(table)
    findings = described["findings"]
    for kind, total in Counter(finding["kind"] for finding in findings).items():
        console.print(f"[bold red]{kind}[/bold red]: {total}")
        for finding in [finding for finding in findings if finding["kind"] == kind][:SHOWN]:
            where = f"{finding['split']}: " if finding["split"] else ""
            console.print(f"  {where}{finding['what']}", markup=False)
        if total > SHOWN:
            console.print(f"  and {total - SHOWN} more; `--json` lists all.")
    if described["note"]:
        console.print(described["note"], markup=False)
    if not findings:
        console.print(
            "All is well: every image is there and decodes, every class has some, and no image is in two splits."
        )


@app.command()
@guarded
def download(name: NameArgument, data_root: DataRootOption = None) -> int:
    """Download a data set from its publisher, where the publisher serves it, and compare it with its checksum."""
    from dfkd.data.download import download as fetch
    from dfkd.data.download import target
    from dfkd.data.sources import SOURCES

    DataConfig(dataset=name)  # refuses a name that does not exist
    if data_root is None:
        target(name, Path())  # refuses one that cannot be downloaded, wherever to
        raise ConfigError("`--data-root` must say where to put the data set, but it is not given.")
    console = Console(highlight=False, soft_wrap=True)
    place, source = target(name, data_root), SOURCES[name]
    if place.exists():
        console.print(f"{place} is there already, and was left as it is. Delete it to download it again.", markup=False)
    else:
        console.print(f"Terms of {name} (no legal advice): {source.terms}", markup=False)
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as progress:
            bars = {archive.file_name: progress.add_task(archive.file_name) for archive in source.archives}
            for step in fetch(name, data_root):
                progress.update(bars[step.file], completed=step.done, total=step.total)
        console.print(f"Downloaded, as published (MD5), to {place}", markup=False)
    console.print(f"Check it: dfkd data check {name} --data-root {shlex.quote(str(data_root))}", markup=False)
    return 0
