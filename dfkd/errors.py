"""Errors that a user can mend: each states the rule, the offending value and the way out."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(ValueError):
    """Bad input. The command line prints the message alone and exits with status 2."""


class ConfigError(UserError):
    """A configuration breaks a rule, or a key does not exist."""


class DataError(UserError):
    """A data set is missing, incomplete or unreadable."""


class CheckpointError(UserError):
    """A checkpoint is missing, damaged, or made for something else."""


class DamagedStateError(CheckpointError):
    """A run's state, or a file that belongs to it, is missing, damaged, or of another state."""


class ExportError(UserError):
    """A student cannot be exported as asked."""


class ExportMismatchError(RuntimeError):
    """An exported file does not do what the run did."""


class TrainingDivergedError(RuntimeError):
    """A loss became NaN or infinite during training."""


MOST_LISTED = 20
"""Names that an error lists in full; of more than that, only the nearest."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a sentence that points from a misspelt ``name`` to what exists."""
    known = list(known)
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    if not close:
        # A misremembered path often has the right last part: `mhad.weight` for `student_loss.mhad.weight`.
        last = name.rsplit(".", 1)[-1]
        close = [k for k in known if k.endswith("." + name)] or [k for k in known if k.rsplit(".", 1)[-1] == last]
    hint = f"Did you mean `{close[0]}`? " if close else ""
    if len(known) > MOST_LISTED:
        siblings = get_close_matches(name, known, n=MOST_LISTED // 2, cutoff=0) if name else known[: MOST_LISTED // 2]
        return f"{hint}The nearest of {len(known)}: {', '.join(siblings)}."
    return f"{hint}Known: {', '.join(known)}."
