"""The teacher's training and its checkpoint."""

import math

import pytest
import torch

from dfkd.augmentation import augment
from dfkd.data import dataset_spec
from dfkd.errors import CheckpointError
from dfkd.evaluation import accuracy
from dfkd.files import load, save
from dfkd.teacher import describe_teacher, load_teacher, recipe, state_hash, train_teacher

CPU = torch.device("cpu")


def train(config, digits, path):
    return list(train_teacher(config, train=digits[0], test=digits[1], device=CPU, path=path))


def read(config, path, names="012"):
    return load_teacher(config, path, class_names=tuple(names), way_out="Run `dfkd teacher`.")


@pytest.fixture
def altered(teacher_path, tmp_path):
    """Return ``altered(change)``: the path of the teacher's checkpoint after ``change(content)``."""

    def make(change):
        content = load(teacher_path, what="", way_out="")
        change(content)
        save(content, tmp_path / "altered.pt")
        return tmp_path / "altered.pt"

    return make


def test_the_same_recipe_gives_the_same_weights(tiny, digits, teacher_path, tmp_path):
    again, other = tmp_path / "again.pt", tmp_path / "other.pt"
    train(tiny(), digits, again)
    train(tiny({"teacher.seed": 1}), digits, other)
    hashes = [describe_teacher(path)["hash"] for path in (teacher_path, again, other)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_runs_own_seed_does_not_touch_the_teacher(tiny, digits, teacher_path, tmp_path):
    train(tiny({"seed": 5}), digits, tmp_path / "x.pt")
    assert describe_teacher(tmp_path / "x.pt")["hash"] == describe_teacher(teacher_path)["hash"]


def test_training_learns_and_reports_each_epoch(tiny, digits, tmp_path):
    records = train(tiny({"teacher.epochs": 3}), digits, tmp_path / "x.pt")
    assert [r["epoch"] for r in records] == [1, 2, 3]
    assert all(r.keys() == {"epoch", "loss", "test_accuracy", "seconds"} for r in records)
    assert records[-1]["loss"] < records[0]["loss"]
    assert records[-1]["test_accuracy"] > 0.6  # a third by chance


def test_a_checkpoint_says_what_it_is(tiny, digits, teacher_path):
    description = describe_teacher(teacher_path)
    assert description["recipe"] == recipe(tiny())
    assert description["class_names"] == ["0", "1", "2"]
    assert description["train_fingerprint"] == digits[0].fingerprint
    assert description["test_fingerprint"] == digits[1].fingerprint
    assert "state" not in description


def test_a_loaded_teacher_is_the_trained_one_frozen(tiny, digits, teacher):
    network = teacher.classifier.network
    assert state_hash(network.state_dict()) == teacher.hash
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    assert accuracy(network, digits[1], dataset_spec("digits"), tiny().compute) == teacher.test_accuracy
    assert teacher.class_names == ("0", "1", "2")


def test_nothing_is_written_before_the_last_epoch(tiny, digits, tmp_path):
    records = train_teacher(
        tiny({"teacher.epochs": 2}), train=digits[0], test=digits[1], device=CPU, path=tmp_path / "x.pt"
    )
    next(records)
    records.close()
    assert list(tmp_path.iterdir()) == []


def test_training_in_one_step_or_with_a_last_batch_of_one_image_works(tiny, digits, tmp_path):
    # 402 training images: one batch of 402; or 401 and a single image, which batch norm could not take.
    for size in (402, 401):
        records = train(tiny({"teacher.batch_size": size}), digits, tmp_path / f"{size}.pt")
        assert math.isfinite(records[-1]["loss"])


@pytest.mark.parametrize(
    ("overrides", "names", "message"),
    [
        ({"teacher.architecture": "resnet14"}, "012", r"architecture must be 'resnet14', but that of .* is 'resnet8'"),
        ({"data.image_size": 32}, "012", r"data.image_size must be 32, but that of .* is 16"),
        ({"data.dataset": "cub200"}, "012", r"data.dataset must be 'cub200', but that of .* is 'digits'"),
        ({}, "0123", r"number of classes must be 4, but that of .* is 3"),
        (
            {"data.validation_fraction": 0.1},
            "012",
            r"must not have seen the validation images \(`data.validation_fraction` 0.1\), but .* trained with 0.0",
        ),
    ],
)
def test_a_teacher_made_for_something_else_is_refused(tiny, teacher_path, overrides, names, message):
    with pytest.raises(CheckpointError, match=message + r"\. Run `dfkd teacher`\."):
        read(tiny(overrides), teacher_path, names)


def test_a_teacher_that_kept_more_aside_or_is_older_than_the_split_serves(tiny, altered):
    kept_aside = altered(lambda content: content["recipe"].update({"data.validation_fraction": 0.2}))
    read(tiny({"data.validation_fraction": 0.1}), kept_aside)
    read(tiny(), altered(lambda content: content["recipe"].pop("data.validation_fraction")))


@pytest.mark.parametrize(("names", "first"), [("210", 0), ("013", 2)])
def test_a_teacher_of_as_many_other_classes_is_refused(tiny, teacher_path, names, first):
    with pytest.raises(
        CheckpointError, match=rf"must be those of the test images, but class {first} of .*is '{first}'"
    ):
        read(tiny(), teacher_path, names)


def test_altered_weights_are_noticed(tiny, altered):
    def nudge(content):
        content["state"]["head.bias"][0] += 1e-6

    with pytest.raises(CheckpointError, match="must match the hash stored with them"):
        read(tiny(), altered(nudge))


def test_a_truncated_file_is_refused(tiny, teacher_path, tmp_path):
    content = teacher_path.read_bytes()
    (tmp_path / "x.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(
        CheckpointError, match=r"teacher's checkpoint must be a whole checkpoint, but .*Run `dfkd teacher`"
    ):
        read(tiny(), tmp_path / "x.pt")


def test_a_text_file_is_refused(tiny, tmp_path):
    (tmp_path / "x.pt").write_text("hello")
    with pytest.raises(CheckpointError, match="must be a whole checkpoint"):
        read(tiny(), tmp_path / "x.pt")


@pytest.mark.parametrize("change", [dict.clear, lambda content: content.update(format=99)])
def test_a_checkpoint_of_another_format_is_refused(tiny, altered, change):
    with pytest.raises(CheckpointError, match="must be of format 1"):
        read(tiny(), altered(change))


def test_the_hash_sees_names_types_shapes_and_values_and_not_the_storage():
    x = torch.arange(6.0).view(2, 3)
    states = [{"a": x}, {"b": x}, {"a": x.double()}, {"a": x.view(3, 2)}, {"a": x + 1}, {"a": x, "n": torch.tensor(1)}]
    assert len({state_hash(state) for state in states}) == len(states)
    assert state_hash({"a": x, "b": 2 * x}) == state_hash({"b": 2 * x, "a": x.t().contiguous().t()})
    images = torch.rand(2, 3, 4, 5)
    assert state_hash({"a": images}) == state_hash({"a": images.to(memory_format=torch.channels_last)})


def pictures(size=6):
    """Return two images in which each pixel knows its place: row * 10 + column."""
    place = torch.arange(size)
    return (place[:, None] * 10 + place).to(torch.uint8).expand(2, 3, size, size)


def crops(count=60, **settings):
    source = torch.Generator().manual_seed(0)
    settings = {"size": 4, "padding": 0, "flip": False} | settings
    return torch.cat([augment(pictures(), source=source, **settings) for _ in range(count // 2)])


def test_a_crop_without_slack_is_the_image():
    assert torch.equal(crops(2, size=6), pictures())


def test_crops_are_windows_at_every_place():
    corners = {divmod(int(c), 10) for c in crops()[:, 0, 0, 0]}
    assert corners == {(row, column) for row in range(3) for column in range(3)}
    for crop in crops(4):
        assert torch.equal(crop - crop[0, 0, 0], pictures()[0, :, :4, :4])


def test_padding_reflects_the_border():
    values = {int(c) for c in crops(200, size=6, padding=1)[:, 0, 0, 0]}
    # A border of one pixel beside row 0 shows row 1: the corner is (1, 1), (1, 0), (0, 1), (0, 0), ...
    assert values == {10 * row + column for row in (0, 1) for column in (0, 1)}


def test_about_half_are_mirrored_where_the_data_set_allows_it():
    mirrored = [bool(c[0, 0, 0] > c[0, 0, 1]) for c in crops(400, flip=True)]
    assert 0.4 < sum(mirrored) / len(mirrored) < 0.6
    assert not any(c[0, 0, 0] > c[0, 0, 1] for c in crops(40))
