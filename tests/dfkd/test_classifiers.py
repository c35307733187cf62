"""Teachers and students, and how their features are read."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dfkd.config import ARCHITECTURES
from dfkd.losses import batch_norm_statistics
from dfkd.models import MODELS, build_classifier
from dfkd.models.taps import tap_batch_norms, tap_features
from dfkd.models.wide_resnet import WideBlock


def classifier(name="resnet8", *, size=16, seed=0, role="student", classes=5):
    return build_classifier(name, classes=classes, image_size=size, seed=seed, role=role)


def images(size=16, batch=2):
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0))


def hooks(network):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules())


def test_every_name_in_the_configuration_has_a_builder():
    assert tuple(MODELS) == ARCHITECTURES


# What each family shrinks an image by: below 48 pixels, below 112, and from there, at each of its stages.
STRIDES = {
    "resnet": ((1, 2, 4, 8), (2, 4, 8, 16), (4, 8, 16, 32)),
    "wrn": ((1, 2, 4), (2, 4, 8), (4, 8, 16)),
    "mobilenetv2": ((1, 1, 2, 4, 4, 8, 8), (2, 2, 4, 8, 8, 16, 16), (2, 4, 8, 16, 16, 32, 32)),
    "vgg": ((1, 2, 4, 8, 16),) * 3,
}


def expected_sizes(name, size, stages):
    family = STRIDES[next(prefix for prefix in STRIDES if name.startswith(prefix))]
    strides = family[(size >= 48) + (size >= 112)][:stages]
    assert len(strides) == stages
    return tuple(-(-size // stride) for stride in strides)  # an odd size halves rounding up


@pytest.mark.parametrize("size", [16, 48, 112, 224, 240])
@pytest.mark.parametrize("name", MODELS)
def test_logits_and_features_have_the_declared_shapes_at_any_size(name, size):
    with torch.device("meta"):
        model, x = classifier(name, size=size), torch.empty(2, 3, size, size)
    with tap_features(model, enabled=True) as features:
        logits = model.network(x)
    assert logits.shape == (2, 5)
    assert model.stage_sizes == expected_sizes(name, size, len(model.stages))
    declared = zip(model.stage_channels, model.stage_sizes, strict=True)
    assert [f.shape for f in features.stages] == [(2, c, s, s) for c, s in declared]
    assert features.penultimate.shape == (2, model.feature_size)


@pytest.fixture(
    scope="module", params=[(n, s) for n in MODELS for s in (32, 64)], ids=lambda param: "{}-{}".format(*param)
)
def passed(request):
    """Return what a training pass and its gradient leave behind."""
    name, size = request.param
    torch.manual_seed(3)
    before = torch.get_rng_state()
    model = classifier(name, size=size)
    with (
        tap_features(model, enabled=True) as features,
        tap_batch_norms(model.network, enabled=True) as (layers, inputs),
    ):
        logits = model.network.train()(images(size))
    (logits.logsumexp(dim=1).sum() + batch_norm_statistics(layers, inputs)).backward()
    return SimpleNamespace(
        model=model,
        layers=layers,
        inputs=inputs,
        features=features,
        logits=logits,
        sizes=expected_sizes(name, size, len(model.stages)),
        drew=not torch.equal(torch.get_rng_state(), before),
    )


class TestEveryNetwork:
    """The contract of a Classifier, over every name and two sizes."""

    def test_features_have_the_declared_shapes_and_the_head_makes_the_logits(self, passed):
        model, features = passed.model, passed.features
        declared = [(2, c, s, s) for c, s in zip(model.stage_channels, passed.sizes, strict=True)]
        assert [f.shape for f in features.stages] == declared
        assert features.penultimate.shape == (2, model.feature_size)
        assert passed.logits.shape == (2, 5)
        assert torch.equal(model.network.get_submodule(model.head)(features.penultimate), passed.logits)

    def test_batch_norms_are_tapped_with_what_they_are_given(self, passed):
        norms = {m for m in passed.model.network.modules() if isinstance(m, nn.BatchNorm2d)}
        assert set(passed.layers) == norms
        assert len(passed.layers) == len(passed.inputs) == len(norms) > 0
        # In training mode the running mean moves by 0.1 of the way from 0 to the mean of what the layer was given.
        for layer, x in zip(passed.layers, passed.inputs, strict=True):
            torch.testing.assert_close(layer.running_mean, 0.1 * x.mean(dim=(0, 2, 3)), atol=1e-5, rtol=1e-4)

    def test_a_gradient_reaches_every_parameter(self, passed):
        for key, parameter in passed.model.network.named_parameters():
            assert parameter.grad is not None, key
            assert parameter.grad.isfinite().all(), key
            assert parameter.grad.any() or parameter.ndim == 1, key

    def test_building_and_training_leave_the_global_generator_alone(self, passed):
        # A resumed run does not set it back, so a network that drew from it, as dropout does, could not be resumed.
        assert not passed.drew


@pytest.mark.parametrize("name", MODELS)
def test_weights_follow_from_the_seed_and_the_role(name):
    first, again, seed, role = (
        classifier(name, **k).network.state_dict() for k in ({}, {}, {"seed": 1}, {"role": "x"})
    )
    assert all(torch.equal(first[key], again[key]) for key in first)
    for other in (seed, role):
        assert not any(torch.equal(first[key], other[key]) for key in first if first[key].ndim > 1)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("resnet18", 11_689_512),
        ("resnet34", 21_797_672),
        ("resnet50", 25_557_032),
        ("mobilenetv2", 3_504_872),
        ("vgg11", 132_868_840),
        ("vgg16", 138_365_992),
    ],
)
def test_at_imagenets_size_torchvisions_networks_have_its_documented_parameters(name, parameters):
    with torch.device("meta"):
        network = classifier(name, size=224, classes=1000).network
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize(
    ("name", "blocks", "width", "millions"),
    [("wrn16_1", 2, 1, 0.2), ("wrn16_2", 2, 2, 0.7), ("wrn40_1", 6, 1, 0.6), ("wrn40_2", 6, 2, 2.2)],
)
def test_wide_networks_have_the_parameters_of_their_paper(name, blocks, width, millions):
    # By hand, depth 6 blocks + 4: a block from a to b channels has 9 (a b + b b) weights, a b more in its shortcut if
    # it changes the channels, and 2 (a + b) of batch norm; the stem 3 * 16 * 9, the last batch norm and the head.
    a, expected = 16, 3 * 16 * 9
    for b in (16 * width, 32 * width, 64 * width):
        for _ in range(blocks):
            expected += 9 * (a * b + b * b) + (a * b if a != b else 0) + 2 * (a + b)
            a = b
    expected += 2 * a + 10 * a + 10
    network = classifier(name, size=32, classes=10).network
    assert sum(p.numel() for p in network.parameters()) == expected
    assert round(expected / 1e6, 1) == millions


@torch.no_grad()
def test_a_wide_block_by_hand():
    block = WideBlock(4, 6, 2).eval()
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    # In evaluation at its first statistics a batch norm divides by sqrt(1 + 1e-5).
    first = x.relu() / 1.00001**0.5
    second = F.conv2d(first, block.conv1.weight, stride=2, padding=1).relu() / 1.00001**0.5
    expected = F.conv2d(second, block.conv2.weight, padding=1) + F.conv2d(first, block.conv_shortcut.weight, stride=2)
    torch.testing.assert_close(block(x), expected)


@torch.no_grad()
def test_a_wide_block_that_changes_nothing_adds_to_its_input_as_it_is():
    block = WideBlock(4, 4, 1).eval()
    nn.init.zeros_(block.conv2.weight)
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(block(x), x)


def test_resnet20_has_the_parameters_of_its_paper():
    # He et al. 2016, Table 6: 0.27 M. By hand, 3 classes-free: stem 3*16*9 + 32; stage 1: 6 (16*16*9 + 32);
    # stage 2: 16*32*9 + 5 * 32*32*9 + 6 * 64, shortcut 16*32 + 64; stage 3: likewise with 32, 64; head 64 * 10 + 10.
    stage = lambda a, b: a * b * 9 + 5 * b * b * 9 + 6 * 2 * b + (a * b + 2 * b)  # noqa: E731
    expected = (3 * 16 * 9 + 32) + 6 * (16 * 16 * 9 + 32) + stage(16, 32) + stage(32, 64) + 650
    network = classifier("resnet20", size=32, classes=10).network
    assert sum(p.numel() for p in network.parameters()) == expected
    assert 0.26e6 < expected < 0.28e6


@pytest.mark.parametrize("tap", [tap_features, lambda c, enabled: tap_batch_norms(c.network, enabled=enabled)])
def test_taps_leave_no_hooks_behind(tap):
    model = classifier()
    with tap(model, enabled=True):
        assert hooks(model.network) > 0
        model.network(images())
    assert hooks(model.network) == 0


@pytest.mark.parametrize("tap", [tap_features, lambda c, enabled: tap_batch_norms(c.network, enabled=enabled)])
def test_taps_leave_no_hooks_behind_after_an_exception(tap):
    model = classifier()
    with pytest.raises(ZeroDivisionError), tap(model, enabled=True):
        raise ZeroDivisionError
    assert hooks(model.network) == 0


@pytest.mark.parametrize("tap", [tap_features, lambda c, enabled: tap_batch_norms(c.network, enabled=enabled)])
def test_disabled_taps_hook_nothing(tap):
    model = classifier()
    with tap(model, enabled=False):
        assert hooks(model.network) == 0


def test_disabled_taps_keep_nothing():
    model = classifier()
    with (
        tap_features(model, enabled=False) as features,
        tap_batch_norms(model.network, enabled=False) as (layers, inputs),
    ):
        model.network(images())
    assert features.stages == []
    assert features.penultimate is None
    assert layers == inputs == []


def test_a_tapped_pass_keeps_the_graph_to_the_images():
    model, x = classifier(), images().requires_grad_()
    with tap_batch_norms(model.network, enabled=True) as (_, inputs):
        model.network.eval()(x)
    sum(i.sum() for i in inputs).backward()
    assert x.grad.abs().sum() > 0
