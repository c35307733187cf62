"""A teacher that starts from ImageNet weights, with files of our own in the place of torchvision's."""

import hashlib
from urllib.error import URLError

import pytest
import torch
from torchvision.models import get_model, resnet18

import dfkd.pretrained
from dfkd.config import PRETRAINED
from dfkd.data import ImageSet
from dfkd.errors import CheckpointError, ConfigError
from dfkd.models.classifiers import MODELS
from dfkd.pretrained import imagenet_weights, initial_teacher, weights_url
from dfkd.teacher import train_teacher


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Return torch.hub's folder of weights, empty; any download fails."""

    def no_network(url, *args, **kwargs):
        raise URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def imagenet(hub, monkeypatch):
    """Return the weights of a resnet18 of a thousand classes, which lie in the hub under a name with their hash."""
    state = resnet18().state_dict()
    old = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    torch.save(old, hub / "x.pth")
    digits = hashlib.sha256((hub / "x.pth").read_bytes()).hexdigest()[:8]
    (hub / "x.pth").rename(hub / f"resnet18-{digits}.pth")
    monkeypatch.setattr(dfkd.pretrained, "weights_url", lambda name: f"https://example.org/{name}-{digits}.pth")
    return old


def settings(size):
    return {"teacher.architecture": "resnet18", "teacher.init": "imagenet", "data.image_size": size}


def test_torchvisions_file_names_end_in_a_hash():
    assert weights_url("resnet18").startswith("https://download.pytorch.org/models/resnet18-")
    assert len(weights_url("resnet18").rsplit("-", 1)[1]) == len("01234567.pth")


def test_all_but_the_head_is_imagenets_from_112_pixels_on(tiny, imagenet):
    start = initial_teacher(tiny(settings(112)), classes=3)
    state = start.classifier.network.state_dict()
    assert (start.fresh, start.unused) == (("fc.weight", "fc.bias"), ())
    assert all(torch.equal(state[name], value) for name, value in imagenet.items() if not name.startswith("fc."))
    assert state["fc.weight"].shape == (3, 512)


def test_below_that_the_first_convolution_is_random_too_and_of_the_teachers_seed(tiny, imagenet):
    config = tiny(settings(64))
    start = initial_teacher(config, classes=3)
    random = initial_teacher(tiny(settings(64) | {"teacher.init": "random"}), classes=3)
    assert start.fresh == ("conv1.weight", "fc.weight", "fc.bias")
    assert (random.fresh, start.unused, random.unused) == ((), (), ())
    state, plain = start.classifier.network.state_dict(), random.classifier.network.state_dict()
    assert all(torch.equal(state[name], plain[name]) for name in start.fresh)
    assert torch.equal(state["layer1.0.conv1.weight"], imagenet["layer1.0.conv1.weight"])
    other = initial_teacher(tiny(settings(64) | {"teacher.seed": 1}), classes=3)
    assert not torch.equal(other.classifier.network.state_dict()["conv1.weight"], state["conv1.weight"])


def published(name):
    """Return a state dict as torchvision's for a network of its ``name``: random, the large linear layers all zeros."""
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in get_model(name).state_dict().items()}
    return {
        key: torch.zeros(1).expand(shape) if key.startswith("classifier.") else torch.rand(shape)
        for key, shape in shapes.items()
        if not key.endswith("num_batches_tracked")
    }


@pytest.mark.parametrize(
    ("architecture", "theirs", "size", "fresh", "unused"),
    [
        ("mobilenetv2", "mobilenet_v2", 16, ("classifier.1.weight", "classifier.1.bias"), ()),
        ("mobilenetv2", "mobilenet_v2", 112, ("classifier.1.weight", "classifier.1.bias"), ()),
        ("vgg11", "vgg11_bn", 64, ("head.weight", "head.bias"), ("classifier.0", "classifier.3", "classifier.6")),
        ("vgg16", "vgg16_bn", 64, ("head.weight", "head.bias"), ("classifier.0", "classifier.3", "classifier.6")),
        pytest.param(
            *("vgg11", "vgg11_bn", 112, ("classifier.6.weight", "classifier.6.bias"), ()), marks=pytest.mark.slow
        ),
    ],
)
def test_mobilenet_and_vgg_take_all_that_they_have_at_a_size(
    tiny, monkeypatch, architecture, theirs, size, fresh, unused
):
    weights = published(theirs)
    monkeypatch.setattr(dfkd.pretrained, "imagenet_weights", lambda name: weights)
    overrides = settings(size) | {"teacher.architecture": architecture}
    start = initial_teacher(tiny(overrides), classes=3)
    assert (start.fresh, start.unused) == (fresh, unused)
    state = start.classifier.network.state_dict()
    taken = [name for name in weights if name.startswith("features.") or (name in state and name not in fresh)]
    assert all(torch.equal(state[name], weights[name]) for name in taken)
    assert {name for name in state if not name.endswith("num_batches_tracked")} == {*taken, *fresh}


@pytest.mark.parametrize("name", PRETRAINED)
def test_every_network_with_imagenet_weights_has_a_file_for_its_own_layers(tiny, name):
    stem = weights_url(name).rsplit("/", 1)[1].rsplit("-", 1)[0]
    ours = {"mobilenetv2": "mobilenet_v2", "vgg11": "vgg11_bn", "vgg16": "vgg16_bn"}.get(name, name)
    assert stem == ours
    with torch.device("meta"):
        expected = {key: value.shape for key, value in get_model(ours).state_dict().items()}
        network = MODELS[name](1000, 224).network
    assert {key: value.shape for key, value in network.state_dict().items()} == expected


def test_training_starts_there(tiny, digits, imagenet, tmp_path):
    few = [ImageSet(s.images[:8], s.labels[:8], s.class_names, s.fingerprint) for s in digits]
    # A learning rate of next to nothing: what was trained is what training started from.
    config = tiny(settings(16) | {"teacher.learning_rate": 1e-12, "teacher.crop_padding": 0})
    list(train_teacher(config, train=few[0], test=few[1], device=torch.device("cpu"), path=tmp_path / "t.pt"))
    trained = torch.load(tmp_path / "t.pt")["state"]
    torch.testing.assert_close(trained["layer4.1.conv2.weight"], imagenet["layer4.1.conv2.weight"])


def test_a_head_of_a_thousand_classes_is_made_anew_too(tiny, imagenet):
    start = initial_teacher(tiny(settings(112)), classes=1000)
    assert start.fresh == ("fc.weight", "fc.bias")
    assert not torch.equal(start.classifier.network.state_dict()["fc.weight"], imagenet["fc.weight"])


def test_without_a_network_the_message_names_file_folder_and_address(hub):
    with pytest.raises(CheckpointError) as error:
        imagenet_weights("resnet18")
    url = weights_url("resnet18")
    for word in (url, url.rsplit("/", 1)[1], str(hub), "no network", "by hand", "TORCH_HOME"):
        assert word in str(error.value)
    assert len(str(error.value)) < 800
    assert list(hub.iterdir()) == []


def test_a_file_put_there_by_hand_is_checked_against_its_name(hub, imagenet):
    (path,) = hub.iterdir()
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match=r"SHA-256 of .*resnet18-.*must begin with .*Delete it\. Fetch"):
        imagenet_weights("resnet18")


@pytest.mark.parametrize("name", ["resnet8", "resnet10", "wrn40_2"])
def test_networks_without_imagenet_weights_are_refused(tiny, name):
    with pytest.raises(
        ConfigError, match=rf"`teacher.init` must be `random` .*{name}.*resnet18, resnet34.*mobilenetv2, vgg11"
    ):
        tiny({"teacher.architecture": name, "teacher.init": "imagenet"})


def test_an_unknown_start_is_refused(tiny):
    with pytest.raises(ConfigError, match=r"`teacher.init` must be one of .*'imagnet'.*Did you mean `imagenet`"):
        tiny({"teacher.architecture": "resnet18", "teacher.init": "imagnet"})
