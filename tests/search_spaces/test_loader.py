"""Grids and presets as data: what is built in is sound, and what a user writes is read or refused in words."""

import pytest

from dfkd.config import RunConfig
from dfkd.overrides import KEYS, canonical, flatten, with_overrides
from search_spaces import SpaceError, available, line_of, load_budget, load_dataset, load_grid, load_method


def expanded(name):
    return load_grid(name).expanded(flatten(RunConfig()), {})


@pytest.mark.parametrize("name", sorted(set(available("grids")) - {"everything"}))  # which shares runs on purpose
def test_every_row_of_a_built_in_grid_is_a_run_of_its_own(name):
    grid = expanded(name)
    # The defaults have no norm in the generator's blocks, the budget for small machines has: one row is each one's own.
    told_apart = [row for row in grid.rows if row.name != "Generator's blocks: no norm"]
    settings = [{**grid.base, **row.overrides} for row in told_apart]
    presets = [load_method(each.get("method", RunConfig().method)).overrides for each in settings]
    rows = [canonical(with_overrides(RunConfig(), {**a, **b})) for a, b in zip(presets, settings, strict=True)]
    assert all(rows.count(row) == 1 for row in rows)
    assert grid.reference in [row.name for row in grid.rows]


@pytest.mark.parametrize("kind", ["budgets", "datasets"])
def test_every_key_of_a_preset_exists(kind):
    load = {"budgets": load_budget, "datasets": load_dataset}[kind]
    for name in available(kind):
        assert set(load(name).overrides) <= set(KEYS)
        with_overrides(RunConfig(), load(name).overrides)


def test_the_papers_grids_have_the_papers_rows():
    assert [row.name for row in expanded("table3").rows] == ["Baseline", "+ SFCL", "+ MHAD", "+ MHAD + SFCL"]
    weights = [row.overrides["generator.attention.weight"] for row in expanded("table4").rows]
    assert weights == [0, 0.01, 0.05, 0.07, 0.09]  # Table 4
    assert [row.overrides["student_loss.mhad.orders"] for row in expanded("table5").rows] == ["1", "1+2", "1+2+3"]


def test_the_papers_budget_is_the_default():
    assert with_overrides(RunConfig(), load_budget("paper").overrides) == RunConfig()


def test_a_default_budget_exists():
    for name in available("datasets"):
        budget = load_dataset(name).budget
        assert budget is None or budget in available("budgets")


def write(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


def test_nested_tables_and_dotted_keys_mean_the_same(tmp_path):
    dotted = load_grid(str(write(tmp_path, '[[row]]\nname = "a"\nset = { "student_loss.mhad.weight" = 0 }')))
    nested = load_grid(str(write(tmp_path, '[[row]]\nname = "a"\n[row.set.student_loss.mhad]\nweight = 0')))
    assert dotted == nested


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["at least one `[[row]]`"]),
        ("a =", ["valid TOML"]),
        ("titel = 'x'\n[[row]]\nname = 'a'", ["line 1", "Did you mean `title`"]),
        ("[[row]]\nset = {}", ["row 1", "`name`"]),
        ("[[row]]\nname = 'a'\n[[row]]\nname = 'a'", ["differ", "'a'"]),
        ("reference = 'aa'\n[[row]]\nname = 'a'", ["line 1", "`reference`", "'aa'", "Did you mean 'a'"]),
        ("[[row]]\nname = 'a'\n[row.set]\n'student_loss.mhad.orders' = [1, 2]", ["number, a string or a boolean"]),
        ("[[row]]\nname = 3", ["`name`", "str", "3"]),
    ],
)
def test_a_malformed_grid(tmp_path, text, words):
    path = write(tmp_path, text)
    with pytest.raises(SpaceError) as error:
        expanded(str(path))
    assert all(word in str(error.value) for word in [str(path), *words])


@pytest.mark.parametrize(
    ("load", "name", "words"),
    [
        (load_grid, "tabel3", ["tabel3", "Did you mean `table3`", "table4", "grids"]),
        (load_grid, "no/such.toml", ["no/such.toml", "no file"]),
        (load_budget, "dmeo", ["dmeo", "Did you mean `demo`", "budgets"]),
    ],
)
def test_an_unknown_name(load, name, words):
    with pytest.raises(SpaceError) as error:
        load(name)
    assert all(word in str(error.value) for word in words)


def test_line_of_finds_quoted_and_bare_keys(tmp_path):
    path = write(tmp_path, '# a = 1\n"b.c" = 2\na = 3\n')
    assert (line_of(path, "b.c"), line_of(path, "a"), line_of(path, "c")) == (2, 3, None)


def test_line_of_finds_inline_and_listed_keys_beyond_a_line(tmp_path):
    path = write(tmp_path, 'set = { "b.c" = 1 }\nparts = ["b.c", "d"]\nset = { b.c = 2, d = 3 }\n')
    assert [line_of(path, "b.c", after=line) for line in (0, 1, 3)] == [1, 3, None]
    assert [line_of(path, "d", after=line) for line in (0, 3)] == [3, None]
    assert line_of(write(tmp_path, 'parts = ["b.c", "d"]\n'), "d") == 1
