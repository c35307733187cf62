"""The fingerprint of the code that a cell uses: what changes it, and what does not."""

import importlib

import pytest

from dfkd.config import RunConfig
from dfkd.overrides import flatten, with_overrides
from harness.fingerprint import LEFT_OUT, REGISTRIES, SOURCES, TERMS, fingerprint, modules_of

NO_SFCL = {"student_loss.sfcl.weight": 0.0}
REAL = {"method": "scratch"}


def of(overrides=None, sources=SOURCES):
    return fingerprint(flatten(with_overrides(RunConfig(), overrides or {})), sources)


def edited(module, old, new):
    """Return the sources with one thing in one module replaced."""
    assert SOURCES[module].count(old) >= 1, old
    return {**SOURCES, module: SOURCES[module].replace(old, new, 1)}


def test_equal_code_has_one_fingerprint_of_sixteen_digits():
    assert of() == of(sources=dict(SOURCES)) == of({"seed": 4})
    assert len(of()) == 16
    assert int(of(), 16) >= 0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("import torch\n", "# a comment\nimport torch\n"),
        ('"""What a step reports', '"""Whatever a step reports'),  # below a variable
        ('"""Prepare the student for its own phase."""', '"""Prepare it."""'),
        ("network.train().requires_grad_(True)", "network.train(  ).requires_grad_(\n        True\n    )"),
    ],
)
def test_comments_docstrings_and_formatting_do_not_enter(old, new):
    assert of(sources=edited("dfkd.stepping", old, new)) == of()


def test_code_does():
    assert of(sources=edited("dfkd.stepping", "requires_grad_(True)", "requires_grad_(False)")) != of()
    assert of(sources=edited("dfkd.losses.distillation", "temperature**2", "temperature**3")) != of()


@pytest.mark.parametrize(
    ("module", "used", "unused"),
    [
        ("dfkd.losses.contrastive", {}, NO_SFCL),
        ("dfkd.real", REAL, {}),
        ("dfkd.crops", REAL, {}),
        ("dfkd.data.whole", REAL, {}),
        ("dfkd.models.generator", {}, REAL),
        ("dfkd.models.vgg", {"teacher.architecture": "vgg11"}, {}),
        ("dfkd.models.mobilenet", {"student.architecture": "mobilenetv2"}, {}),
        ("dfkd.data.cars", {"data.dataset": "stanford_cars"}, {}),
        ("dfkd.data.cub", {}, {"data.dataset": "digits"}),
    ],
)
def test_a_module_matters_to_the_cells_that_use_it(module, used, unused):
    changed = {**SOURCES, module: SOURCES[module] + "\nADDED = 1\n"}
    assert of(used, changed) != of(used)
    assert of(unused, changed) == of(unused)


def test_a_new_network_makes_no_cell_stale():
    registry = edited(
        "dfkd.models.classifiers", "from dfkd.models.vgg import vgg", "from dfkd.models.new import new, vgg"
    )
    registry["dfkd.models.classifiers"] = registry["dfkd.models.classifiers"].replace(
        '    "vgg11": vgg("A"),', '    "vgg11": vgg("A"),\n    "new": new,'
    )
    registry["dfkd.models.new"] = "def new(): ...\n"
    assert of(sources=registry) == of()
    other = edited(
        "dfkd.models.classifiers", '"resnet18": torchvision_resnet(BasicBlock, [2, 2, 2, 2])', '"resnet18": 0'
    )
    assert of(sources=other) != of()


def test_what_only_names_things_or_is_in_the_identity_does_not_enter():
    for module in ("dfkd", "dfkd.errors", "dfkd.teacher", "dfkd.config.run", "dfkd.export", "dfkd.data.check"):
        assert of(sources={**SOURCES, module: SOURCES[module] + "\nADDED = 1\n"}) == of()


def test_every_name_here_is_a_module_and_every_registry_is_a_dict_of_it():
    assert {*LEFT_OUT, *TERMS, *REGISTRIES} <= set(SOURCES)
    for module, (registry, _) in REGISTRIES.items():
        assert isinstance(getattr(importlib.import_module(module), registry), dict)


@pytest.mark.parametrize("overrides", [{}, REAL, {"data.dataset": "digits", "student.architecture": "vgg11"}])
def test_every_module_in_it_exists_and_the_loop_is_among_them(overrides):
    modules = modules_of(flatten(with_overrides(RunConfig(), overrides)))
    assert {"dfkd.loop", "dfkd.steps", "dfkd.learners", "dfkd.evaluation", "dfkd.models.classifiers"} <= set(modules)
    assert set(modules) <= set(SOURCES)
