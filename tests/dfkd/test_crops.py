"""Crops of whole training pictures: torchvision's, drawn from the run's own stream."""

import pytest
import torch
from PIL import Image
from torchvision import transforms

from dfkd.config import RunConfig
from dfkd.crops import random_crops
from dfkd.data import PictureSet, dataset_spec
from dfkd.data.whole import picture_set, shorter_side_resized
from dfkd.errors import ConfigError
from dfkd.evaluation import load_training_images
from dfkd.overrides import canonical, with_overrides
from dfkd.teacher import load_teacher, train_teacher
from harness.inputs import teacher_name
from roots import BUILDERS

CPU = torch.device("cpu")
WHOLE = ("whole", "resized")


def config(crop, **overrides):
    return with_overrides(RunConfig(), {"teacher.crop": crop, "data.image_size": 16, **overrides})


def placed(*sizes):
    """Return pictures in which each pixel knows its place: row * 16 + column."""
    made = []
    for height, width in sizes:
        place = torch.arange(height)[:, None] * 16 + torch.arange(width)
        made.append(place.to(torch.uint8).expand(3, height, width))
    return picture_set(made, torch.arange(len(made)), ("a", "b"), "")


def crops(settings, train, indices, *, seed=0, flip=False):
    source = torch.Generator().manual_seed(seed)
    return random_crops(settings, train, torch.tensor(indices), flip=flip, source=source)


def test_pictures_of_different_shapes_come_back_by_index():
    pictures = placed((3, 5), (7, 2), (4, 4))
    # 3 * (15 + 14 + 16) values; row 6, column 1 of the second one is 6 * 16 + 1.
    assert pictures.pixels.shape == (135,)
    assert [tuple(picture.shape) for picture in pictures.pictures(torch.tensor([2, 0, 1]))] == [
        (3, 4, 4),
        (3, 3, 5),
        (3, 7, 2),
    ]
    assert pictures.to(CPU).pictures(torch.tensor([1]))[0][:, 6, 1].tolist() == [97, 97, 97]


@pytest.mark.parametrize(
    ("width", "height", "shape"),
    [
        (500, 333, (3, 256, 384)),  # 256 * 500 / 333 = 384.4
        (334, 500, (3, 383, 256)),  # 383.2
        (100, 1, (3, 256, 25600)),
        (256, 256, (3, 256, 256)),
        (399, 400, (3, 256, 256)),  # 256.6, of which torchvision's Resize keeps 256
    ],
)
def test_the_longer_side_is_kept_in_proportion(width, height, shape):
    assert shorter_side_resized(Image.new("RGB", (width, height)), 256).shape == shape


def test_a_whole_picture_is_cropped_at_both_of_its_ends():
    settings = config("whole")
    found = crops(settings, placed((16, 20)), [0] * 100)
    # A square of 16 in 20 columns begins at column 0 to 4; in 16 rows, at row 0.
    assert {int(crop[0, 0, 0]) for crop in found} == {0, 1, 2, 3, 4}
    assert all(torch.equal(crop - crop[0, 0, 0], found[0] - found[0, 0, 0, 0]) for crop in found)


def test_the_border_of_a_whole_picture_is_reflected():
    found = crops(config("whole", **{"teacher.crop_padding": 1}), placed((16, 16)), [0] * 200)
    # A border of one pixel beside row 0 shows row 1: the corner is (1, 1), (1, 0), (0, 1), (0, 0), ...
    assert {divmod(int(crop[0, 0, 0]), 16) for crop in found} == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_resized_crops_hold_8_to_100_percent_of_the_picture_in_3_to_4_at_most():
    height = width = 240
    columns = (torch.arange(width) - torch.zeros(height, 1)).to(torch.uint8)
    ramps = torch.stack([columns, columns.T, columns])  # red tells the column, green the row
    found = crops(config("resized"), picture_set([ramps], torch.zeros(1), ("a",), ""), [0] * 300).float()
    # 16 samples lie a sixteenth of the side apart: the span from the first to the last is 15/16 of a side.
    wide, high = ((found[:, c].amax(dim=(1, 2)) - found[:, c].amin(dim=(1, 2))) * 16 / 15 for c in (0, 1))
    share, ratio = wide * high / (height * width), wide / high
    assert 0.06 < share.min() < 0.2
    assert 0.8 < share.max() <= 1.05
    assert 0.65 < ratio.min() < 0.8
    assert 1.25 < ratio.max() < 1.55


@pytest.mark.parametrize(
    ("crop", "authors"), [("resized", transforms.RandomResizedCrop(224)), ("whole", transforms.RandomCrop(224))]
)
@pytest.mark.parametrize("size", [(500, 333), (300, 417)])
def test_the_authors_loader_makes_the_same_images_from_the_same_draws(crop, authors, size, tmp_path, monkeypatch):
    root = BUILDERS["imagefolder"](tmp_path, monkeypatch)
    noise = torch.randint(0, 256, (9, 9, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)).numpy()
    for key, path in root.pictures.items():
        if key[1]:
            Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(path, quality=100)
    settings = config(crop, **{"data.dataset": "imagefolder", "data.image_size": 224})
    ours = crops(settings, load_training_images(settings, root=root.path, cache=None), range(4), seed=5, flip=True)
    loader = transforms.Compose(
        [transforms.Resize(256), authors, transforms.RandomHorizontalFlip(), transforms.PILToTensor()]
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        theirs = torch.stack([loader(Image.open(root.pictures[0, True, i]).convert("RGB")) for i in range(4)])
    # A tensor's resize and PIL's differ in their roundings.
    assert (ours.int() - theirs.int()).abs().max() <= (1 if crop == "resized" else 0)


@pytest.mark.parametrize("crop", WHOLE)
def test_draws_are_from_the_stream_alone(crop):
    settings, train = config(crop), placed((16, 20), (18, 16))
    before = torch.get_rng_state()
    source = torch.Generator().manual_seed(0)
    first, second = (random_crops(settings, train, torch.tensor([0, 1] * 8), flip=True, source=source) for _ in "ab")
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(first, second)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(99)
        assert torch.equal(crops(settings, train, [0, 1] * 8, flip=True), first)
    assert not torch.equal(crops(settings, train, [0, 1] * 8, seed=1, flip=True), first)


@pytest.mark.parametrize("crop", WHOLE)
def test_half_are_mirrored_where_the_data_set_allows_it(crop):
    train = placed((16, 16))
    mirrored = [bool(c[0, 0, 0] > c[0, 0, -1]) for c in crops(config(crop), train, [0] * 400, flip=True)]
    assert 0.4 < sum(mirrored) / len(mirrored) < 0.6
    assert not any(c[0, 0, 0] > c[0, 0, -1] for c in crops(config(crop), train, [0] * 40))


def test_squares_and_whole_pictures_are_not_taken_for_each_other():
    data = config("square", **{"data.dataset": "digits"}).data
    spec = dataset_spec("digits")
    squares, whole = spec.load(data, root=None, split="train"), spec.load_whole(data, root=None)
    with pytest.raises(ValueError, match=r"whole pictures \(`load_whole`\), but it is 'resized' and .* a ImageSet"):
        crops(config("resized"), squares, [0])
    with pytest.raises(ValueError, match=r"must hold squares \(`load`\).* it is 'square' and .* a PictureSet"):
        crops(config("square"), whole, [0])


def test_an_unknown_crop_is_refused():
    with pytest.raises(ConfigError, match=r"`teacher.crop` must be one of .*'resize'.*Did you mean `resized`"):
        config("resize")


def test_decoded_pictures_are_kept_apart_from_squares_and_read_again(tmp_path, monkeypatch):
    root = BUILDERS["imagefolder"](tmp_path / "data", monkeypatch)
    cache = tmp_path / "cache"
    cache.mkdir()
    made = {}
    for crop in ("square", "resized"):
        settings = config(crop, **{"data.dataset": "imagefolder"})
        made[crop] = load_training_images(settings, root=root.path, cache=cache)
        with monkeypatch.context() as patched:
            patched.setattr("dfkd.data.listing.open_picture", lambda *a: pytest.fail("decoded again"))
            again = load_training_images(settings, root=root.path, cache=cache)
        assert type(again) is type(made[crop])
        for field, value in vars(made[crop]).items():
            kept = getattr(again, field)
            assert torch.equal(kept, value) if isinstance(value, torch.Tensor) else kept == value
    assert isinstance(made["resized"], PictureSet)
    assert made["resized"].fingerprint == made["square"].fingerprint
    assert len(list(cache.iterdir())) == 2


def test_a_teacher_of_other_crops_has_another_name_and_a_data_free_cell_the_same_identity():
    plain, other = RunConfig(), with_overrides(RunConfig(), {"teacher.crop": "resized"})
    assert teacher_name(plain) != teacher_name(other)
    assert canonical(plain) == canonical(other)


def test_crops_are_part_of_what_a_student_on_real_images_is():
    real = {"method": "scratch"}
    ids = [canonical(config(crop, **real)) for crop in ("square", *WHOLE)]
    assert ids[0] != ids[1] != ids[2] != ids[0]
    assert "teacher.crop" not in ids[0]
    for crop in ("square", *WHOLE):  # a resized crop has no border
        bordered = canonical(config(crop, **real, **{"teacher.crop_padding": 2}))
        assert (bordered == canonical(config(crop, **real))) == (crop == "resized")


@pytest.mark.parametrize("crop", WHOLE)
def test_a_teacher_and_its_attention_are_trained_on_whole_pictures(tiny, digits, tmp_path, crop):
    settings = tiny({"teacher.crop": crop, "teacher.attention": "1", "teacher.attention_epochs": 1})
    train = load_training_images(settings, root=None, cache=None)
    hashes = set()
    for name in ("a.pt", "b.pt"):
        list(train_teacher(settings, train=train, test=digits[1], device=CPU, path=tmp_path / name))
        hashes.add(load_teacher(settings, tmp_path / name, class_names=("0", "1", "2")).hash)
    assert len(hashes) == 1
