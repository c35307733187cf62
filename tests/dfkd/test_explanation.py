"""Features, attention maps and Grad-CAM against values derived by hand."""

import pytest
import torch
from torch import nn

from dfkd.explanation import attention_map, grad_cam, mixed_attention, penultimate_features, synthesise
from dfkd.models import MODELS, build_classifier
from dfkd.models.classifier import Classifier
from dfkd.models.generator import AttentionGenerator
from dfkd.state import sample_grid


class Linear(nn.Module):
    """A 1x1 convolution, the mean over the positions, a linear layer."""

    def __init__(self, *, inplace: bool = False) -> None:
        super().__init__()
        self.maps = nn.Conv2d(3, 2, 1, bias=False)
        self.activate = nn.ReLU(inplace=True) if inplace else nn.Identity()
        self.head = nn.Linear(2, 2)

    def forward(self, x):
        return self.head(self.activate(self.maps(x)).mean(dim=(2, 3)))


def test_grad_cam_of_a_linear_network_has_a_closed_form():
    # A logit is sum_k w_ck mean(A^k) + b_c, so its gradient is w_ck / (H W) at every position, and Grad-CAM is
    # ReLU(sum_k w_ck A^k) / (H W).
    network = Linear().requires_grad_(False)
    images = torch.randn(4, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    classes = torch.tensor([0, 1, 1, 0])
    maps = network.maps(images)
    expected = torch.einsum("bk,bkhw->bhw", network.head.weight[classes], maps).relu() / 30
    torch.testing.assert_close(grad_cam(network, images, path="maps", classes=classes), expected)
    assert (expected > 0).any()
    assert (expected == 0).any()


def test_grad_cam_by_hand():
    # One channel counts 3, the other -1; the first class's weights are (2, 4): 2 * 3 A - 4 * A' on two positions.
    network = Linear()
    with torch.no_grad():
        network.maps.weight.copy_(torch.tensor([[3.0, 0, 0], [0, -1, 0]])[:, :, None, None])
        network.head.weight.copy_(torch.tensor([[2.0, 4], [0, 0]]))
    image = torch.zeros(1, 3, 1, 2)
    image[0, :2, 0, 0] = torch.tensor([1.0, 1])  # A = 3, A' = -1: 6 - 4 = 2, over two positions: 1
    image[0, :2, 0, 1] = torch.tensor([1.0, 2])  # A = 3, A' = -2: 6 - 8 < 0
    assert grad_cam(network, image, path="maps", classes=torch.tensor([0])).tolist() == [[[1.0, 0.0]]]


def test_an_activation_that_writes_into_its_input_is_no_obstacle():
    network = Linear(inplace=True)
    images = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    maps = network.maps(images)
    weights = network.head.weight[[1, 1]][:, :, None, None] * (maps > 0)
    expected = (weights.mean(dim=(2, 3), keepdim=True) / 16 * maps).sum(dim=1).relu()
    found = grad_cam(network, images, path="maps", classes=torch.tensor([1, 1]))
    torch.testing.assert_close(found, expected)


def test_networks_are_left_as_they_were():
    network = Linear().train()
    grad_cam(network, torch.randn(2, 3, 4, 4), path="maps", classes=torch.tensor([1, 0]))
    assert network.training
    assert not network.maps._forward_hooks
    assert all(parameter.grad is None for parameter in network.parameters())
    with pytest.raises(ValueError, match="'head' gives \\(2, 2\\)"):
        grad_cam(network, torch.randn(2, 3, 4, 4), path="head", classes=torch.tensor([1, 0]))
    assert not network.head._forward_hooks


@pytest.mark.parametrize("name", ["resnet8", "wrn16_1", "mobilenetv2", "vgg11"])
def test_every_kind_of_network_has_maps_and_features(name):
    assert name in MODELS
    classifier = build_classifier(name, classes=3, image_size=32, seed=0, role="student")
    classifier.network.requires_grad_(False)
    images = torch.randn(2, 3, 32, 32)
    for path, size in zip(classifier.stages, classifier.stage_sizes, strict=True):
        found = grad_cam(classifier.network, images, path=path, classes=torch.tensor([2, 0]))
        assert found.shape == (2, size, size)
        assert (found >= 0).all()
    assert penultimate_features(classifier, images).shape == (2, classifier.feature_size)


def test_features_are_what_the_head_is_given():
    network = Linear().train()
    classifier = Classifier(network, ("maps",), (2,), (4,), "head", 2)
    images = torch.randn(3, 3, 4, 4)
    found = penultimate_features(classifier, images)
    torch.testing.assert_close(found, network.maps(images).mean(dim=(2, 3)))
    assert not found.requires_grad
    assert network.training


def test_an_attention_map_counts_channels_by_their_size():
    features = torch.tensor([[[[3.0, 0]], [[-1, 0]]]])
    attention = torch.tensor([[[[0.8, 0.25]], [[0.4, 0.75]]]])
    # (3 * 0.8 + 1 * 0.4) / 4 = 0.7; nothing there: the mean of 0.25 and 0.75.
    torch.testing.assert_close(attention_map(attention, features), torch.tensor([[[0.7, 0.5]]]))


def test_uniform_attention_is_flat():
    features = torch.randn(2, 8, 3, 3)
    torch.testing.assert_close(attention_map(torch.full_like(features, 0.125), features), torch.full((2, 3, 3), 0.125))


@pytest.mark.parametrize("axis", ["channels", "positions"])
def test_synthetic_images_are_those_that_a_run_keeps(tiny, axis):
    config = tiny({"generator.attention.softmax_axis": axis})
    network = AttentionGenerator(config.generator, image_size=16, seed=0)
    state = {"generator": {name: value.clone() for name, value in network.state_dict().items()}}
    made = synthesise(config, network)
    # 64 images in 8 columns, 2 pixels around each, as torchvision's make_grid sets them.
    sheet = sample_grid(state, config)
    shown = (made.images[9] * 0.5 + 0.5).clamp(0, 1) * 255
    assert torch.equal(shown.round().to(torch.uint8), sheet[:, 2 + 18 : 18 + 18, 2 + 18 : 18 + 18])
    # Blocks of 2, 4, 8 and 16 pixels on a seed of one.
    assert {block: tuple(each.shape) for block, each in made.attention.items()} == {
        1: (64, 2, 2), 2: (64, 4, 4), 3: (64, 8, 8), 4: (64, 16, 16),
    }  # fmt: skip
    assert all(0 < each.min() <= each.max() < 1 for each in made.attention.values())
    assert not any(attend._forward_hooks for attend in network.attend)


def test_no_attention_no_maps(tiny):
    config = tiny({"generator.attention.weight": 0.0})
    assert synthesise(config, AttentionGenerator(config.generator, image_size=16, seed=0), count=8).attention == {}


def test_both_sides_of_l_mhad_are_seen_as_the_loss_sees_them(learners, teacher):
    made = learners({"student_loss.mhad.attention": "both"})
    mhad, images = made.auxiliary["mhad"], torch.randn(2, 3, 16, 16)
    theirs, ours = mixed_attention(
        mhad, teacher=teacher.classifier, student=made.student, images=images, stage=mhad.stages[-1]
    )
    size = teacher.classifier.stage_sizes[mhad.stages[-1]]
    assert theirs.shape == ours.shape == (2, size, size)
    assert ((theirs > 0) & (theirs < 1)).all()
    # An attention whose last weights are zero is sigmoid(0) everywhere, on the student's side alone.
    nn.init.zeros_(mhad.student_attentions[-1].raise_channels.weight)
    again, half = mixed_attention(
        mhad, teacher=teacher.classifier, student=made.student, images=images, stage=mhad.stages[-1]
    )
    torch.testing.assert_close(half, torch.full_like(half, 0.5))
    assert torch.equal(again, theirs)
