"""Between points of a search space and cells: a trial is a cell, so a search need not run what a table has run."""

from collections.abc import Mapping
from dataclasses import dataclass

from dfkd.config import RunConfig
from dfkd.overrides import Scalar, flatten, with_overrides
from harness.passes import matched
from harness.plan import Cell
from search_spaces import Choices, GridFile, Row, Space

Point = dict[str, Scalar]
"""A value for each parameter of a space that counts."""


def grid_of(space: Space) -> GridFile:
    """Return a grid whose rows are the base and every end and choice of the space, each alone.

    Expanding and preparing it checks all of them as a grid's rows are checked: fields, types, rules, and whether the
    networks fit.
    """
    rows = [Row("base", {})]
    for parameter in space.parameters:
        domain = parameter.domain
        values = domain.options if isinstance(domain, Choices) else (domain.low, domain.high)
        rows += [Row(f"{parameter.key} = {value}", {parameter.key: value}) for value in values]
    return GridFile(space.name, space.path, space.title, "base", space.base, tuple(rows))


@dataclass(frozen=True)
class Points:
    """The cells of a space: everything outside of it is fixed."""

    space: Space
    """What may change."""
    base: RunConfig
    """Everything else, with the seed."""
    teacher_hash: str
    """Of every cell."""
    test_fingerprint: str
    """Of every cell."""
    train_fingerprint: str | None
    """Of those that learn from real images."""
    classes: int
    """How many the networks tell apart."""
    passes: int | None = None
    """What every cell is to cost (``harness.passes``); None where each costs what its rhythm costs."""

    def cell_of(self, config: RunConfig) -> Cell:
        """Return the cell that runs ``config`` with the search's teacher and images."""
        shown = self.train_fingerprint if config.learns_from_real_images else None
        return Cell(config, self.teacher_hash, self.test_fingerprint, shown)

    def cell(self, point: Mapping[str, Scalar]) -> Cell:
        """Return the cell at ``point``; points that differ in what has no effect have one cell.

        Raises:
            ConfigError: the values break a rule together, or one round of theirs is too dear.
        """
        config = with_overrides(self.base, point)
        return self.cell_of(config if self.passes is None else matched(config, self.passes, fixed=point))

    def point_of(self, config: RunConfig) -> Point | None:
        """Return where in the space the search would run ``config``, whatever its seed; None if it never would."""
        seeded = with_overrides(config, {"seed": self.base.seed})
        point = self.space.read(flatten(seeded))
        if point is None or self.cell(point).id != self.cell_of(seeded).id:
            return None
        return point
