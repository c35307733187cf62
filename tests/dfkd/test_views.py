"""Views of synthetic images."""

import pytest
import torch

from dfkd.augmentation import augment
from dfkd.synthesis.views import jittered, resized_crops


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def images(count=4, size=16):
    return torch.rand(count, 3, size, size, generator=source(1))


def test_a_jittered_batch_is_rolled_as_one():
    x = images()
    view = jittered(x, limit=2, flip=False, source=source())
    shifts = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]
    assert any(torch.equal(view, x.roll(shift, dims=(2, 3))) for shift in shifts)


def test_jitter_reaches_every_offset_and_no_other():
    mark = torch.zeros(1, 1, 8, 8)
    mark[0, 0, 4, 4] = 1
    random = source()
    found = {tuple(jittered(mark, limit=1, flip=False, source=random)[0, 0].nonzero()[0].tolist()) for _ in range(200)}
    assert found == {(row, column) for row in (3, 4, 5) for column in (3, 4, 5)}


@pytest.mark.parametrize("flip", [True, False])
def test_jitter_mirrors_only_where_a_mirror_image_shows_the_same(flip):
    x, random = images(1), source()
    views = [jittered(x, limit=0, flip=flip, source=random) for _ in range(30)]
    assert any(torch.equal(view, x.flip(-1)) for view in views) == flip
    assert any(torch.equal(view, x) for view in views)


def test_the_whole_of_an_image_is_the_image(monkeypatch):
    x = images()
    monkeypatch.setattr(torch, "rand", lambda shape, generator: torch.full(shape, 0.5))  # sides alike, not mirrored
    torch.testing.assert_close(resized_crops(x, least_area=1.0, flip=True, source=source()), x)


def test_crops_of_a_ramp_by_hand(monkeypatch):
    # Half the height and width (area 1/4, sides alike) of the ramp 0, 1, 2, 3 from its left end: the outputs lie at
    # 0 - 1/4, 1/4, 3/4, 5/4, and what lies outside is the border's.
    draws = torch.tensor([[0.0], [0.5], [0.0], [0.0], [0.9]])
    monkeypatch.setattr(torch, "rand", lambda *args, **kwargs: draws)
    ramp = torch.arange(4.0).expand(1, 1, 4, 4)
    view = resized_crops(ramp, least_area=0.25, flip=True, source=source())
    torch.testing.assert_close(view[0, 0, 0], torch.tensor([0.0, 0.25, 0.75, 1.25]))


def test_crops_stay_within_the_image_and_differ():
    x = images(count=16)
    view = resized_crops(x, least_area=0.25, flip=True, source=source())
    assert x.min() <= view.min()
    assert view.max() <= x.max()
    assert (view - x).flatten(1).abs().amax(dim=1).gt(0.01).all()


def test_crops_of_one_colour_are_that_colour():
    flat = torch.full((3, 3, 8, 8), 0.3)
    torch.testing.assert_close(resized_crops(flat, least_area=0.25, flip=True, source=source()), flat)


def test_gradients_flow_through_every_view():
    x = images().requires_grad_()
    jittered(x, limit=2, flip=True, source=source()).sum().backward()
    torch.testing.assert_close(x.grad, torch.ones_like(x))
    for view in (
        resized_crops(x, least_area=0.25, flip=True, source=source()),
        augment(x, size=16, padding=2, flip=True, source=source()),
    ):
        x.grad = None
        view.sum().backward()
        # A crop has as many pixels as the image, and what it weighs them by sums to one for each.
        torch.testing.assert_close(x.grad.sum(), torch.tensor(float(x.numel())))


def test_the_same_stream_gives_the_same_views():
    for make in (
        lambda random: jittered(images(), limit=2, flip=True, source=random),
        lambda random: resized_crops(images(), least_area=0.25, flip=True, source=random),
    ):
        assert torch.equal(make(source(5)), make(source(5)))
