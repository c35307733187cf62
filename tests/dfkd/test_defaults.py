"""A default that changes, changes runs that did not ask for it: then ``dfkd.NUMERICS`` must be raised.

A cell's identity leaves out what is at its default, so that a new option orphans no old run; a changed default would
therefore give an old result to a new question. ``python tests/dfkd/test_defaults.py`` writes defaults.json anew.
"""

import json
from pathlib import Path

import pytest

from dfkd import NUMERICS
from dfkd.config import RunConfig
from dfkd.overrides import flatten

GOLDEN = Path(__file__).parent / "defaults.json"
COMMAND = "python tests/dfkd/test_defaults.py"


def complaint(golden, *, numerics, defaults):
    """Return what is wrong with the golden file beside the present ``numerics`` and ``defaults``, and the way out."""
    before = golden["defaults"]
    changed = [
        f"`{key}` was {before[key]!r} and is {value!r}"
        for key, value in defaults.items()
        if key in before and before[key] != value
    ]
    if changed and golden["numerics"] == numerics:
        return (
            f"A default may change only with `dfkd.NUMERICS`, which is still {numerics}: {'; '.join(changed)}. Raise "
            f"it in dfkd/__init__.py, say so in CHANGELOG.md, then write the new defaults with: {COMMAND}"
        )
    if golden != {"numerics": numerics, "defaults": defaults}:
        fields = sorted(before.keys() ^ defaults.keys())
        return (
            f"tests/dfkd/defaults.json must hold the present defaults, but it is of NUMERICS {golden['numerics']}, not "
            f"{numerics}, or has other fields ({', '.join(fields) or 'none'}). A new field must at its default do what "
            f"was done before it, or NUMERICS must be raised. Then write the file with: {COMMAND}"
        )
    return None


def test_no_default_has_changed_without_numerics():
    found = complaint(json.loads(GOLDEN.read_text()), numerics=NUMERICS, defaults=flatten(RunConfig()))
    assert found is None, found


@pytest.mark.parametrize(
    ("numerics", "defaults", "words"),
    [
        (3, {"a": 1, "b": 2}, None),
        (3, {"a": 5, "b": 2}, ["only with `dfkd.NUMERICS`, which is still 3", "`a` was 1 and is 5", COMMAND]),
        (4, {"a": 5, "b": 2}, ["NUMERICS 3, not 4", COMMAND]),
        (4, {"a": 1, "b": 2}, ["NUMERICS 3, not 4"]),
        (3, {"a": 1, "b": 2, "c": 3}, ["(c)", "at its default do what was done before"]),
        (3, {"a": 1}, ["(b)"]),
    ],
)
def test_what_is_complained_of(numerics, defaults, words):
    found = complaint({"numerics": 3, "defaults": {"a": 1, "b": 2}}, numerics=numerics, defaults=defaults)
    assert (found is None) == (words is None)
    assert all(word in found for word in words or [])


def write():
    """Write the golden file, unless a default has changed without NUMERICS."""
    defaults = flatten(RunConfig())
    if GOLDEN.exists():
        found = complaint(json.loads(GOLDEN.read_text()), numerics=NUMERICS, defaults=defaults)
        if found and "may change only" in found:
            raise SystemExit(found)
    GOLDEN.write_text(json.dumps({"numerics": NUMERICS, "defaults": defaults}, indent=1) + "\n")


if __name__ == "__main__":
    write()
