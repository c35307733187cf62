"""``import dfkd``: what it offers, what it does not import, and the README's example."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from textwrap import dedent

import pytest

import dfkd

ROOT = Path(__file__).parents[2]


def python(code):
    """Run ``code`` in a fresh interpreter, in which nothing of ours has been imported."""
    return subprocess.run([sys.executable, "-c", dedent(code)], cwd=ROOT, check=True, capture_output=True, text=True)


def test_importing_the_package_or_its_configuration_imports_no_torch():
    python("""
        import sys
        import dfkd
        from dfkd import NUMERICS, RunConfig, with_overrides
        assert "torch" not in sys.modules
    """)


def test_every_name_it_offers_is_there_and_no_other():
    assert all(getattr(dfkd, name) is getattr(import_module(home), name) for name, home in dfkd._HOMES.items())
    assert set(dfkd.__all__) == {*dfkd._HOMES, "NUMERICS"}
    with pytest.raises(AttributeError, match="'dfkd' has no attribute 'destill'"):
        _ = dfkd.destill


def readme_example():
    """Return the README's indented block that imports from dfkd."""
    lines = (ROOT / "README.md").read_text().splitlines()
    blocks, block = [], []
    for line in [*lines, "end"]:
        if line.startswith("    ") or (block and not line):
            block.append(line)
        elif block:
            blocks.append(dedent("\n".join(block)))
            block = []
    (example,) = [block for block in blocks if "from dfkd import" in block]
    return example


def test_the_readmes_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(readme_example(), "README.md", "exec"), {})
    output = capsys.readouterr().out
    assert output.count("'epoch'") == 3
    assert "epoch 2: " in output
    assert (tmp_path / "teacher.pt").is_file()
