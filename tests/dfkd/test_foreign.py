"""Teachers that were trained elsewhere: which files are read, and in which words the others are refused."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import resnet18

from dfkd.data import dataset_spec
from dfkd.errors import CheckpointError
from dfkd.evaluation import accuracy
from dfkd.foreign import fit_weights, import_teacher, read_weights
from dfkd.teacher import describe_teacher, load_teacher

X = Path("x.pth")
CPU = torch.device("cpu")


@pytest.fixture
def weights(teacher):
    """Return the state dict of the teacher of three digits."""
    return teacher.classifier.network.state_dict()


def prefixed(state, prefix):
    return {prefix + name: value for name, value in state.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 90, "optimizer": {"lr": 0.1}},
        lambda state: {"model": state, "args": {"lr": 0.1}},
        lambda state: {"net": state, "acc": 93.1},
        lambda state: {"model_state_dict": state},
        lambda state: {"format": 1, "state": state},
        lambda state: {"model": {"state_dict": state}},
        lambda state: prefixed(state, "module."),
        lambda state: {"model": prefixed(state, "_orig_mod.")},
        lambda state: {"state_dict": prefixed(state, "_orig_mod.module.")},
        lambda state: {"state_dict": prefixed(state, "model.")},
    ],
)
def test_wrappers_and_prefixes_are_taken_off(weights, tmp_path, wrap):
    torch.save(wrap(weights), tmp_path / "x.pth")
    read = read_weights(tmp_path / "x.pth")
    assert read.keys() == weights.keys()
    assert all(torch.equal(read[name], weights[name]) for name in weights)


def test_safetensors_are_read(weights, tmp_path):
    save_file(prefixed(weights, "module."), tmp_path / "x.safetensors")
    read = read_weights(tmp_path / "x.safetensors")
    assert all(torch.equal(read[name], weights[name]) for name in weights)


def refused(path, *words):
    with pytest.raises(CheckpointError) as error:
        read_weights(path)
    missing = [word for word in (str(path), *words) if word not in str(error.value)]
    assert not missing, f"{missing} not in: {error.value}"


def test_a_pickled_module_is_refused_with_the_way_to_save_its_weights(teacher, tmp_path):
    torch.save(teacher.classifier.network, tmp_path / "x.pth")
    refused(tmp_path / "x.pth", "more than tensors", "torch.save(model.state_dict(), FILE)")


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_torchscript_file_is_refused_likewise(tmp_path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "x.pt")
    refused(tmp_path / "x.pt", "more than tensors", "torch.save(model.state_dict(), FILE)")


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_truncated_file_is_refused(weights, tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    save_file(weights, path) if suffix == "safetensors" else torch.save(weights, path)
    path.write_bytes(path.read_bytes()[:5000])
    refused(path, "must be a whole", "cannot be read")


def test_a_missing_file_is_named(tmp_path):
    refused(tmp_path / "x.pth", "no file")
    refused(tmp_path / "x.safetensors", "cannot be read")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"epoch": 3, "best": 0.9}, ["epoch, best are none", "state_dict, model_state_dict"]),
        ({"weights": {"a": torch.zeros(1)}}, ["weights is none"]),
        ({"state_dict": {}}, ["it is empty"]),
        ({"a": torch.tensor([1.0, float("nan")])}, ["must be finite", "`a`"]),
    ],
)
def test_a_file_without_usable_weights_is_refused(tmp_path, content, words):
    torch.save(content, tmp_path / "x.pth")
    refused(tmp_path / "x.pth", *words)


def misfit(config, state, *words, classes=3):
    with pytest.raises(CheckpointError) as error:
        fit_weights(state, config, classes=classes, source=X)
    missing = [word for word in ("x.pth", *words) if word not in str(error.value)]
    assert not missing, f"{missing} not in: {error.value}"


def test_another_architecture_is_named_with_the_first_keys_and_the_one_it_is(tiny, weights):
    misfit(
        tiny({"teacher.architecture": "resnet14"}),
        weights,
        "must be those of resnet14",
        "are missing (stages.0.1.conv1.weight, stages.0.1.bn1.weight, stages.0.1.bn1.bias, and ",
        "those of resnet8: `--set teacher.architecture=resnet8`",
    )


def test_a_network_that_is_none_of_ours(tiny, weights):
    weights["extra.weight"] = torch.zeros(1)
    weights["stages.0.0.bn1.weight"] = torch.zeros(5)
    misfit(
        tiny(),
        weights,
        "1 is unexpected (extra.weight)",
        "1 is of another shape (stages.0.0.bn1.weight 5 instead of 16)",
        "none of our networks at 16 px: resnet8, resnet14",
    )


def test_another_number_of_classes(tiny, weights):
    misfit(tiny(), weights, "number of classes must be 4", "`head.weight`", "has 3", "data.classes", classes=4)


def test_the_stem_of_large_images_at_a_small_size(tiny):
    state = resnet18(num_classes=3).state_dict()
    small = {"data.image_size": 64, "teacher.architecture": "resnet18"}
    misfit(tiny(small), state, "at 64 px must be 3x3", "`conv1.weight`", "is 7x7", "112 or more", "data.image_size")
    large = tiny(small | {"data.image_size": 112})
    taken = fit_weights(state, large, classes=3, source=X).network.state_dict()
    assert all(torch.equal(taken[name], state[name]) for name in state)
    # At 64 px, resnet34 asked for: the advice looks past the stem.
    misfit(tiny(small | {"teacher.architecture": "resnet34"}), state, "80 are missing", "architecture=resnet18`")


def test_old_files_without_counters_and_half_precision_are_taken(tiny, weights):
    old = {name: value.half() for name, value in weights.items() if not name.endswith("num_batches_tracked")}
    network = fit_weights(old, tiny(), classes=3, source=X).network
    taken = network.state_dict()
    assert all(torch.equal(taken[name], value.float()) for name, value in old.items())
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())


def test_an_imported_teacher_is_measured_and_written_as_our_own(tiny, digits, teacher, weights, tmp_path):
    source, path = tmp_path / "birds.pth", tmp_path / "teacher.pt"
    torch.save({"state_dict": weights}, source)
    imported = import_teacher(tiny(), read_weights(source), source=source, test=digits[1], device=CPU, path=path)
    assert imported.hash == teacher.hash
    assert imported.test_accuracy == accuracy(
        teacher.classifier.network, digits[1], dataset_spec("digits"), tiny().compute
    )
    loaded = load_teacher(tiny(), path, class_names=("0", "1", "2"))
    assert (loaded.hash, loaded.test_accuracy, loaded.origin) == (teacher.hash, imported.test_accuracy, "birds.pth")
    about = describe_teacher(path)
    assert about["origin"]["file"] == "birds.pth"
    assert len(about["origin"]["sha256"]) == 64
    # How it was trained is not known, and not claimed.
    assert [key for key in about["recipe"] if key.startswith("teacher.")] == ["teacher.architecture"]
    assert "train_fingerprint" not in about
