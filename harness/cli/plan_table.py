"""What ``dfkd plan`` shows of a plan: its cells by row and seed."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from harness.cli.status import counts_sentence
from harness.records import Plan, plan_columns
from harness.store import Store

ROWS_SHOWN = 100
"""Of a plan; of a longer one, rows whose cells are all in one of these states are counted."""
WORDS_OF_STATES = {"done": "done", "todo": "to do"}


def print_plan(plan: Plan, store: Store, totals: Mapping[str, int]) -> None:
    """Print how far each cell of a plan is, a line a row, and the ``totals`` of ``harness.store.counts``."""
    columns = [part.context for part in plan_columns(plan)]
    on = "; ".join(
        f"{context['dataset']}, {context['classes']} classes, {context['image_size']} px, "
        f"{context['teacher']} to {context['student']}"
        for context in columns
    )
    title = f"{plan.title} ({plan.grid}): {on}, budget {plan.context['budget']} ({plan.context['epochs']} epochs)"
    table = Table(
        "row", *(f"seed {seed}" for seed in plan.seeds), title=title, title_justify="left", title_style="bold"
    )
    states: defaultdict[str, list[str]] = defaultdict(list)
    for cell in plan.cells:
        states[cell.row].append(_state(store, cell.id))
    shown = _rows_shown(plan.rows, states)
    for row in shown:
        table.add_row(row, *states[row])
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    if left := len(plan.rows) - len(shown):
        on_screen = set(shown)
        whole = Counter(states[row][0] for row in plan.rows if row not in on_screen)
        named = ", ".join(f"{number} {WORDS_OF_STATES[state]}" for state, number in whole.items())
        console.print(f"And {left} more rows, each alike in all seeds: {named}. `--json` lists them.")
    console.print(counts_sentence(totals))


def _state(store: Store, cell_id: str) -> str:
    """Return in a word or two how far a cell is."""
    record = store.read(cell_id)
    if not record.ended and store.is_running(cell_id):
        return "running"
    done = record.epochs_done if record.status == "todo" else 0
    return f"from epoch {done}" if done else record.status


def _rows_shown(rows: Sequence[str], states: Mapping[str, Sequence[str]]) -> Sequence[str]:
    """Return the rows to be shown of a long plan: all that are in the midst of something, and the first of the rest."""
    if len(rows) <= ROWS_SHOWN:
        return rows
    whole = [row for row in rows if len(set(states[row])) == 1 and states[row][0] in WORDS_OF_STATES]
    most = max(0, ROWS_SHOWN - (len(rows) - len(whole)))
    left_out = set(whole[most:])
    return [row for row in rows if row not in left_out]
