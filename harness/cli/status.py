"""``dfkd status``: every grid of a store, once or until Ctrl-C."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from dfkd.errors import ConfigError
from harness.cli.options import DEFAULT_STORE, JsonOption, StoreOption, errors, guarded, only_looks
from harness.store import Store, known_store
from harness.store import status as store_status

PERIOD = 2.0
"""Seconds between two looks at a store that is watched."""


def counts_sentence(totals: Mapping[str, int]) -> str:
    """Return the counts of ``harness.store.counts`` in words."""
    diverged = f" ({totals['diverged']} of them diverged)" if totals["diverged"] else ""
    quarantined = f", {totals['quarantined']} quarantined" if totals["quarantined"] else ""
    return (
        f"{totals['cells']} distinct cells: {totals['done']} done{diverged}, {totals['running']} running, "
        f"{totals['todo']} to do{quarantined} ({totals['failed']} failed before)."
    )


@guarded
@only_looks
def status(
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show it anew every other second, until Ctrl-C.")] = False,
) -> int:
    """Count the cells of every grid that was ever started in a store."""
    if watch and as_json:
        raise ConfigError("`--watch` must be given without `--json`, which prints one object. Leave one of them out.")
    opened = known_store(store)
    root = opened.root
    if not root.is_dir():
        errors.print(f"There is no store at {root} yet.", markup=False)
    console = Console(highlight=False, soft_wrap=True)
    if as_json:
        print(json.dumps(store_status(opened), indent=1))
    elif watch:
        _watch(opened, console)
    else:
        console.print(_view(store_status(opened)))
    return 0


def _watch(store: Store, console: Console) -> None:
    """Show the store's state until Ctrl-C, which is how one leaves."""
    with Live(_view(store_status(store)), console=console, auto_refresh=False) as live:
        try:
            while True:
                time.sleep(PERIOD)
                live.update(_view(store_status(store)), refresh=True)
        except KeyboardInterrupt:
            return


def _view(content: dict[str, Any]) -> Group:
    """Return what ``harness.store.status`` gave as a table and sentences."""
    table = Table("grid", "data set", "budget", "seeds", "done", "left", "code of what is done")
    for each in content["plans"]:
        left = _told(each, {"running": "running", "todo": "to do", "quarantined": "quarantined", "failed": "failed"})
        code = _told(each, {"stale": "stale", "unknown_code": "unknown"})
        done = f"{each['done']} of {each['cells']}"
        table.add_row(
            each["grid"], each["dataset"], each["budget"], ",".join(map(str, each["seeds"])), done, left, code
        )
    lines = [f"{counts_sentence(content)} Cells that grids share are counted once."]
    if content["stale"] or content["unknown_code"]:
        lines.append(
            f"Of the done cells {content['stale']} are stale, trained by code that has changed since, and "
            f"{content['unknown_code']} are of unknown code, from before it was recorded. What becomes of stale cells, "
            "`dfkd ablate GRID --stale mark|keep|rerun` decides."
        )
    lines += [_failed(failure) for failure in content["failures"]]
    if content["quarantined"]:
        lines.append("Quarantined cells are left alone; `dfkd ablate GRID --release` tries them again.")
    return Group(table, *map(Text, lines))


def _failed(failure: dict[str, Any]) -> str:
    tried = f"quarantined after {failure['attempts']} attempts" if failure["quarantined"] else "failed"
    return f"{tried}: {Path('cells') / failure['cell']}: {failure['error']}"


def _told(counts: dict[str, Any], words: dict[str, str]) -> str:
    """Return the counts that are not 0, in words."""
    return ", ".join(f"{counts[key]} {word}" for key, word in words.items() if counts[key])
