"""Operators that make rows from a short table. What a key means is not known here, but for the orders of attention.

Each takes what stands behind its name in a ``[[rows]]`` table, the effective value of every field, and names; each
returns rows with overrides of those fields, or raises OperatorError.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from itertools import combinations
from itertools import product as every_combination
from typing import Any

from search_spaces.loader import SCALARS, dotted
from search_spaces.naming import Names, value_text
from search_spaces.rows import COLUMN_KEYS, OperatorError, Row, Values

ORDERS = "student_loss.mhad.orders"
"""The field that the operator ``orders`` sets."""


def check_field(key: str, values: Values) -> None:
    """Raise OperatorError, naming the nearest, unless ``key`` is a field."""
    if key not in values:
        close = [each for each in values if each.endswith(f".{key}")] or get_close_matches(key, values, n=1, cutoff=0.5)
        hint = f" Did you mean `{close[0]}`?" if close else ""
        raise OperatorError(
            f"every key must be a field of the run's configuration, but `{key}` is none.{hint}", key=key
        )


def product(argument: Any, values: Values, names: Names) -> list[Row]:
    """Return a row for every combination of the listed values; the last key changes fastest."""
    lists = _lists("product", argument, values)
    for key, items in lists.items():
        _refuse_repeats(f"`product` must list different values, but `{key}`", items, key)
    return [_settings(lists, combination, names) for combination in every_combination(*lists.values())]


def zip_(argument: Any, values: Values, names: Names) -> list[Row]:
    """Return a row for the first value of every key, one for the second of every key, and so on."""
    lists = _lists("zip", argument, values)
    if len({len(items) for items in lists.values()}) > 1:
        lengths = ", ".join(f"`{key}` has {len(items)}" for key, items in lists.items())
        raise OperatorError(f"`zip` must list equally many values for every key, but {lengths}.", key=list(lists)[-1])
    together = list(zip(*lists.values(), strict=True))
    _refuse_repeats("`zip` must make different rows, but its list", together, next(iter(lists)))
    return [_settings(lists, combination, names) for combination in together]


def leave_one_out(argument: Any, values: Values, names: Names) -> list[Row]:
    """Return the full method, then one row without each part."""
    off = _parts("leave_one_out", argument, values)
    return [Row("full", {}), *(Row(f"w/o {names.part(key)}", {key: off[key]}) for key in off)]


def add_one_in(argument: Any, values: Values, names: Names) -> list[Row]:
    """Return the baseline without any of the parts, then one row with each part alone."""
    off = _parts("add_one_in", argument, values)
    alone = [Row(f"+ {names.part(key)}", {k: v for k, v in off.items() if k != key}) for key in off]
    return [Row("baseline", off), *alone]


def cumulative(argument: Any, values: Values, names: Names) -> list[Row]:
    """Return the baseline without any of the parts, then rows that switch on one more part each."""
    off = _parts("cumulative", argument, values)
    rows, on = [Row("baseline", off)], ""
    for i, key in enumerate(off, 1):
        on = f"{on} + {names.part(key)}".strip()
        rows.append(Row(on, dict(list(off.items())[i:])))
    return rows


def pairwise(argument: Any, values: Values, names: Names) -> list[Row]:
    """Return the full method, then it without each part, then without each two: what interactions are made from."""
    off = _parts("pairwise", argument, values)
    if len(off) < 2:
        raise OperatorError(
            f"`pairwise` must list at least two parts, but it lists {len(off)}. Use `leave_one_out`.", key="pairwise"
        )
    subsets = [subset for size in (1, 2) for subset in combinations(off, size)]
    without = [
        Row(f"w/o {', '.join(map(names.part, subset))}", {key: off[key] for key in subset}) for subset in subsets
    ]
    return [Row("full", {}), *without]


def orders(argument: Any, values: Values, names: Names) -> list[Row]:
    """Return a row for each mixture of attention orders, such as ``1+2+3``."""
    check_field(ORDERS, values)
    if not argument or not all(isinstance(item, str) for item in argument):
        raise OperatorError(
            f'`orders` must list strings such as "1" or "1+2+3" (the paper\'s R = 3), but it is {argument!r}.',
            key="orders",
        )
    for item in argument:
        _refuse_repeats(f"`orders` must have each order once in a mixture, but {item!r}", item.split("+"), "orders")
    _refuse_repeats("`orders` must list different mixtures, but it", argument, "orders")
    rows = []
    for item in argument:
        named = ORDERS in names.given or f"{ORDERS}.{item}" in names.given
        name = names.setting(ORDERS, item) if named else f"order{'s' if '+' in item else ''} {item}"
        rows.append(Row(name, {ORDERS: item}))
    return rows


def around(argument: Any, values: Values, names: Names) -> list[Row]:
    """Return the named values, then each alone at ``1 - by`` and at ``1 + by`` times its value.

    What comes out is rounded to 12 digits, so that it is the number that one would write by hand, and the same cell;
    for a field that is a whole number, to a whole number.
    """
    centre = dotted(argument)
    share = centre.pop("by", None)
    if not _is_number(share) or not 0 < share < 1:
        raise OperatorError(
            f"`around` must have a `by` between 0 and 1, such as `by = 0.2` for -20 % and +20 %, but it is {share!r}.",
            key="around",
        )
    if not centre:
        raise OperatorError(
            "`around` must name at least one value, but it names none. Write "
            '`around = { "student_loss.mhad.weight" = 10, by = 0.2 }`.',
            key="around",
        )
    for key, value in centre.items():
        check_field(key, values)
        if not (_is_number(value) and _is_number(values[key])) or value == 0:
            raise OperatorError(
                f"`around` must be given numbers other than 0, of fields that are numbers, but `{key}` is {value!r}. "
                "List the values themselves in `product`.",
                key=key,
            )
    rows = [_settings(centre, list(centre.values()), names)]
    for key, value in centre.items():
        for factor in (1 - share, 1 + share):
            near = _scaled(value, factor, whole=isinstance(values[key], int))
            if near == value:
                raise OperatorError(
                    f"`around` must move every value, but `{key}` is a whole number, and {value} by {share} is {value} "
                    "again. Take a larger `by`.",
                    key=key,
                )
            rows.append(Row(names.setting(key, near), {**centre, key: near}))
    return rows


OPERATORS: dict[str, tuple[type, Callable[[Any, Values, Names], list[Row]]]] = {
    "product": (dict, product),
    "zip": (dict, zip_),
    "leave_one_out": (list, leave_one_out),
    "add_one_in": (list, add_one_in),
    "cumulative": (list, cumulative),
    "pairwise": (list, pairwise),
    "orders": (list, orders),
    "around": (dict, around),
}
"""Name to the type of its argument and the function; ``union`` reads files, and is in grid.py."""


def _lists(operator: str, argument: Any, values: Values) -> dict[str, list[Any]]:
    lists = dotted(argument)
    if not lists:
        raise OperatorError(
            f'`{operator}` must have at least one key with a list of values, such as {{ "student_loss.mhad.weight" = '
            "[0, 10] }, but it is empty.",
            key=operator,
        )
    for key, items in lists.items():
        check_field(key, values)
        if not isinstance(items, list) or not items or not all(isinstance(item, SCALARS) for item in items):
            raise OperatorError(
                f"`{operator}` must give each key a list of numbers, strings or booleans, at least one, but `{key}` is "
                f"{items!r}. What all rows share goes into `set`.",
                key=key,
            )
    return lists


def _parts(operator: str, argument: Any, values: Values) -> dict[str, Any]:
    """Return the parts with their value when off."""
    if not argument or not all(isinstance(key, str) for key in argument):
        raise OperatorError(
            f'`{operator}` must list the keys of parts, such as ["student_loss.mhad.weight"], but it is {argument!r}.',
            key=operator,
        )
    _refuse_repeats(f"`{operator}` must list different parts, but it", argument, operator)
    for key in argument:
        check_field(key, values)
        if isinstance(values[key], str):
            raise OperatorError(
                f"`{operator}` must list parts that a weight of 0 or `false` switches off, but `{key}` is "
                f"{values[key]!r}. List its values in `product`.",
                key=key,
            )
        if not values[key]:
            raise OperatorError(
                f"`{operator}` must list parts that are on, but `{key}` is {value_text(values[key])} in the base. Give "
                "it a value in `set` of the same table, or in `[base]`.",
                key=key,
            )
    return {key: type(values[key])() for key in argument}


def _settings(keys: Mapping[str, Any], combination: Sequence[Any], names: Names) -> Row:
    overrides = dict(zip(keys, combination, strict=True))
    within = names.settings({key: value for key, value in overrides.items() if not key.startswith(COLUMN_KEYS)})
    return Row(names.settings(overrides), overrides, within=within, column=names.column(overrides))


def _refuse_repeats(rule: str, items: Sequence[Any], key: str) -> None:
    for i, item in enumerate(items):
        if item in items[:i]:
            raise OperatorError(f"{rule} has {item!r} twice.", key=key)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _scaled(value: float, factor: float, *, whole: bool) -> float:
    return round(value * factor) if whole else float(f"{value * factor:.12g}")
