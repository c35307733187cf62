"""Teachers and students, and how their features are read."""

import pytest
import torch
from torch import nn

from dfkd.config import ARCHITECTURES
from dfkd.models import MODELS, build_classifier
from dfkd.models.taps import tap_batch_norms, tap_features


def classifier(name="resnet8", *, size=16, seed=0, role="student", classes=5):
    return build_classifier(name, classes=classes, image_size=size, seed=seed, role=role)


def images(size=16, batch=2):
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0))


def hooks(network):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules())


def test_every_name_in_the_configuration_has_a_builder():
    assert tuple(MODELS) == ARCHITECTURES


STEM_STRIDE = {16: 1, 32: 1, 64: 2, 112: 4}
"""A 3x3 convolution below 48 pixels, one of stride 2 below 112, then a stem of stride 4."""


@pytest.mark.parametrize("size", STEM_STRIDE)
@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_logits_and_features_have_the_declared_shapes(name, size):
    model = classifier(name, size=size)
    model.network.eval()
    with tap_features(model, enabled=True) as features:
        logits = model.network(images(size))
    assert logits.shape == (2, 5)
    side = size // STEM_STRIDE[size]
    sides = [-(-side // 2**i) for i in range(len(model.stages))]  # each stage but the first halves, rounding up
    assert [f.shape for f in features.stages] == [
        (2, c, s, s) for c, s in zip(model.stage_channels, sides, strict=True)
    ]
    assert features.penultimate.shape == (2, model.feature_size)
    assert torch.equal(model.network.get_submodule(model.head)(features.penultimate), logits)


@pytest.mark.parametrize(("name", "parameters"), [("resnet18", 11_689_512), ("resnet34", 21_797_672)])
def test_at_imagenets_size_the_large_networks_are_torchvisions(name, parameters):
    network = classifier(name, size=224, classes=1000).network
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_resnet20_has_the_parameters_of_its_paper():
    # He et al. 2016, Table 6: 0.27 M. By hand, 3 classes-free: stem 3*16*9 + 32; stage 1: 6 (16*16*9 + 32);
    # stage 2: 16*32*9 + 5 * 32*32*9 + 6 * 64, shortcut 16*32 + 64; stage 3: likewise with 32, 64; head 64 * 10 + 10.
    stage = lambda a, b: a * b * 9 + 5 * b * b * 9 + 6 * 2 * b + (a * b + 2 * b)  # noqa: E731
    expected = (3 * 16 * 9 + 32) + 6 * (16 * 16 * 9 + 32) + stage(16, 32) + stage(32, 64) + 650
    network = classifier("resnet20", size=32, classes=10).network
    assert sum(p.numel() for p in network.parameters()) == expected
    assert 0.26e6 < expected < 0.28e6


@pytest.mark.parametrize("name", ["resnet8", "resnet10_half", "resnet10"])
def test_weights_follow_from_the_seed_and_the_role(name):
    first, again, seed, role = (
        classifier(name, **k).network.state_dict() for k in ({}, {}, {"seed": 1}, {"role": "x"})
    )
    assert all(torch.equal(first[key], again[key]) for key in first)
    for other in (seed, role):
        assert not any(torch.equal(first[key], other[key]) for key in first if "conv" in key)


@pytest.mark.parametrize("name", ["resnet8", "resnet10"])
def test_building_leaves_the_global_generator_alone(name):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    classifier(name)
    assert torch.equal(torch.get_rng_state(), before)


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


@pytest.mark.parametrize("name", ["resnet14", "resnet10"])
def test_batch_norms_are_tapped_in_the_order_of_the_pass_with_what_they_are_given(name):
    model = classifier(name)
    norms = [m for m in model.network.modules() if isinstance(m, nn.BatchNorm2d)]
    with tap_batch_norms(model.network, enabled=True) as (layers, inputs):
        model.network.train()(images())
    assert set(layers) == set(norms)
    assert len(layers) == len(inputs) == len(norms)
    # In training mode the running mean moves by 0.1 of the way from 0 to the mean of what the layer was given.
    for layer, x in zip(layers, inputs, strict=True):
        torch.testing.assert_close(layer.running_mean, 0.1 * x.mean(dim=(0, 2, 3)), atol=1e-6, rtol=1e-4)


def test_a_tapped_pass_keeps_the_graph_to_the_images():
    model, x = classifier(), images().requires_grad_()
    with tap_batch_norms(model.network, enabled=True) as (_, inputs):
        model.network.eval()(x)
    sum(i.sum() for i in inputs).backward()
    assert x.grad.abs().sum() > 0
