"""What lies behind one number of a table: each run with its configuration, files, code and place in MLflow."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from harness.records import Plan
from reports.derivation import PAIRED
from reports.errors import ReportError
from reports.sources import Recorded, Source, open_source
from reports.table import SELECTIONS

NUMBERS = {
    "accuracy": "the mean over the row's seeds",
    "interval": "where the mean accuracy lies, by resampling the row's seeds",
    "difference": "the mean over seeds of the row minus the reference",
    "difference_interval": "where the difference lies, by resampling seeds that row and reference share",
    "test": "sign flips of the differences from the reference, corrected for the rows tested",
    "more_seeds": "how many seeds a difference like the one seen lacks to be found in 4 of 5 cases",
    "runs": "how many of the planned runs are done",
    "hours": "the mean training time of the row's runs",
    "parameters": "of the row's student",
    "flops": "multiply-accumulates of the row's student for one image",
}
"""Numbers of a table's row that can be explained: the columns of ``reports.render.COLUMNS``."""
FILES = ("config.json", "log.jsonl", "result.json", "failure.json", "student.pt", "state.pt", "samples.png")


@dataclass(frozen=True)
class Behind:
    """One run behind a number."""

    row: str
    seed: int
    cell: str
    status: str
    value: float | None
    """In percent; None unless done."""
    seconds: float | None
    """Of training; None unless done."""
    cpu_seconds: float | None
    """Of all threads."""
    stale: bool
    settings: Mapping[str, Any]
    """What is not at its default, where the store says."""
    made_from: Mapping[str, Any]
    """Hashes of teacher and images, and NUMERICS."""
    trainer: tuple[str, ...]
    """Fingerprints of the code."""
    environment: Mapping[str, Any]
    files: tuple[str, ...]
    """Paths, where the run lies in a store."""
    mlflow: str
    """Where the run is in MLflow; empty if it is not there or was not looked for."""


def explain(
    where: Source | Path | str,
    plan: Plan,
    row: str,
    number: str = "accuracy",
    *,
    selection: str = "last",
    stale: Collection[str] = (),
    links: Mapping[str, str] | None = None,
) -> list[Behind]:
    """Return the runs behind a row's number, a name of ``NUMBERS``, seed by seed: of the row, and where the number is a
    comparison, of the reference.

    ``links`` are those of MLflow by cell.

    Raises:
        ReportError: an unknown row or number, with the nearest one.
    """
    _check(row, plan.rows, f"The row must be one of {plan.grid!r}")
    _check(number, tuple(NUMBERS), "The column must be one that runs stand behind")
    rows = dict.fromkeys([row, plan.reference] if number in PAIRED else [row])
    planned = [cell for name in rows for cell in plan.cells if cell.row == name]
    records = open_source(where).cells([cell.id for cell in planned])
    return [
        _behind(cell.row, cell.seed, cell.id, records[cell.id], selection, cell.id in stale, (links or {}).get(cell.id))
        for cell in planned
    ]


def _check(name: str, known: Collection[str], rule: str) -> None:
    if name not in known:
        close = get_close_matches(name, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ReportError(f"{rule}, but {name!r} is none of: {', '.join(known)}.{hint}")


def _behind(row: str, seed: int, cell: str, record: Recorded, selection: str, stale: bool, link: str | None) -> Behind:
    result, config = record.result, record.config
    folder = Path(record.link) if record.link and "://" not in record.link else None
    value = result.get(selection)
    return Behind(
        row=row,
        seed=seed,
        cell=cell,
        status=record.status,
        value=None if value is None else 100 * value,
        seconds=result.get("seconds"),
        cpu_seconds=result.get("cpu_seconds"),
        stale=stale,
        settings=config.get("canonical", {}),
        made_from={
            name: config[name]
            for name in ("teacher_hash", "test_fingerprint", "train_fingerprint", "numerics")
            if config.get(name) is not None
        },
        trainer=tuple(result.get("trainer", ())),
        environment=result.get("environment", {}),
        files=tuple(str(folder / name) for name in FILES if (folder / name).exists()) if folder else (),
        mlflow=link or (record.link if folder is None else ""),
    )


def explained(
    behind: list[Behind], derived: Sequence[str], *, row: str, number: str, plan: Plan, selection: str
) -> str:
    """Return the runs as text: what the number is, how it is ``derived``, then a paragraph for each run."""
    lines = [f"{plan.grid}, row {row!r}, {number}: {NUMBERS[number]}; {SELECTIONS[selection]}."]
    if number in PAIRED:
        lines.append(f"The reference is {plan.reference!r}; a seed counts where both are done.")
    lines += derived
    for each in behind:
        value = f"{each.value:.4f} %" if each.value is not None else "no number"
        mark = ", stale: trained by code that has changed since" if each.stale else ""
        lines += ["", f"{each.row}, seed {each.seed}: {value} ({each.status}{mark})", f"  cell      {each.cell}"]
        environment = ", ".join(f"{key} {value}" for key, value in each.environment.items() if value != "")
        facts = {
            "settings": ", ".join(f"{key}={value}" for key, value in each.settings.items()),
            "from": ", ".join(f"{key} {str(value)[:16]}" for key, value in each.made_from.items()),
            "code": "+".join(each.trainer),
            "made on": environment,
            "trained": _duration(each),
            "MLflow": each.mlflow,
        }
        lines += [f"  {name:<9} {fact}" for name, fact in facts.items() if fact]
        lines += [f"  file      {path}" for path in each.files]
    return "\n".join(lines) + "\n"


def _duration(run: Behind) -> str:
    known = {"s": run.seconds, "CPU seconds": run.cpu_seconds}
    return ", ".join(f"{seconds:.1f} {unit}" for unit, seconds in known.items() if seconds is not None)
