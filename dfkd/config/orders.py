"""What can be said of a high-order attention: its orders and its reduction."""

from dfkd.config.rules import require

REDUCTIONS = (1, 2, 4, 8, 16)
"""Each route of the attention works on C / reduction channels."""


def parse_orders(text: str, *, name: str = "student_loss.mhad.orders") -> tuple[int, ...]:
    """Return the orders in ``1+2+3``, ascending. Orders are 1 to 6, each at most once.

    ``name`` is the field that a message names.
    """
    parts = text.split("+")
    require(
        all(part in ("1", "2", "3", "4", "5", "6") for part in parts) and parts == sorted(set(parts)),
        "ascending orders from 1 to 6 joined by `+`, such as `1+2+3` (the paper's R = 3)",
        name,
        text,
    )
    return tuple(int(part) for part in parts)
