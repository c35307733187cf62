"""What the figures of networks show: read back from what was drawn. How they look, somebody has looked at."""

import numpy as np
import pytest

from reports import ReportError
from reports.figures import feature_map, map_rows, to_bytes

NAMES = ["a_$x$", "b", "c"]
LABELS = np.repeat([0, 1, 2], 6)


def points(apart):
    """Return 18 points around three centres, ``apart`` times as far from each other as the points of one."""
    spread = np.random.default_rng(0).normal(size=(18, 4))
    return spread + apart * np.eye(4)[LABELS]


def test_a_map_of_features_has_a_panel_a_network_and_every_image():
    figure = feature_map({"Teacher": points(20), "Student": points(0)}, LABELS, class_names=NAMES)
    assert len(figure.axes) == 2
    for axes in figure.axes:
        assert [len(line.get_xdata()) for line in axes.lines] == [6, 6, 6]
    teacher, student = (axes.get_title(loc="left") for axes in figure.axes)
    # The silhouette of an image is (b - a) / max(a, b), from its distances to its own class and to the next one.
    assert float(teacher.split()[-1]) > 0.8
    assert abs(float(student.split()[-1])) < 0.3
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [r"a_\$x\$", "b", "c"]


def test_the_silhouette_is_of_the_features_by_hand():
    # On a line: 0 and 1, 11 and 12. Own distance 1; to the others 11.5, 10.5, 10.5, 11.5: means of 1 - 1 / b.
    features = np.array([[0.0, 0], [1, 0], [11, 0], [12, 0]])
    figure = feature_map({"T": features}, np.array([0, 0, 1, 1]), class_names=["a", "b"])
    expected = 1 - (1 / 11.5 + 1 / 10.5) / 2
    assert figure.axes[0].get_title(loc="left") == f"T\nsilhouette {expected:+.2f}"


def test_groups_that_lie_apart_stay_apart():
    figure = feature_map({"T": points(20)}, LABELS, class_names=NAMES)
    groups = [np.stack(line.get_data(), axis=1) for line in figure.axes[0].lines]
    centres = np.array([group.mean(axis=0) for group in groups])
    own = max(np.linalg.norm(group - centre, axis=1).max() for group, centre in zip(groups, centres, strict=True))
    assert min(np.linalg.norm(centres[i] - centres[j]) for i, j in ((0, 1), (0, 2), (1, 2))) > own


def test_twenty_classes_look_different():
    labels = np.repeat(np.arange(20), 2)
    figure = feature_map(
        {"T": np.random.default_rng(1).normal(size=(40, 3))}, labels, class_names=list(map(str, range(20)))
    )
    looks = {(line.get_color(), line.get_marker(), line.get_markerfacecolor()) for line in figure.axes[0].lines}
    assert len(looks) == 20


@pytest.mark.parametrize(
    ("labels", "names", "words"),
    [([0, 0, 0], ["a"], "3 of a"), ([0, 0, 1], ["a", "b"], "2 of a, 1 of b"), ([0, 0], ["a", "b"], "0 of b")],
)
def test_what_has_too_few_images_is_refused(labels, names, words):
    with pytest.raises(ReportError, match=f"two classes with two images each.*{words}"):
        feature_map({"T": np.zeros((len(labels), 2))}, np.array(labels), class_names=names)


PICTURES = np.full((2, 8, 8, 3), 100, np.uint8)


def test_maps_lie_over_their_pictures_and_name_their_range():
    maps = {"A": [np.array([[0.25, 0.5]]), np.array([[0.5, 1.0]])], "B": [None, np.ones((2, 2))]}
    figure = map_rows(PICTURES, maps, titles=["real", "synthetic\nx"], shared=True)
    first, second, a, b, nothing, c = figure.axes
    assert [first.get_title(), second.get_title()] == ["real", "synthetic\nx"]
    assert a.get_title(loc="left") == "A, 0.25 to 1"
    assert nothing.get_title(loc="left") == "B, 1 to 1"
    assert [len(axes.images) for axes in (first, a, b, nothing, c)] == [1, 2, 2, 0, 2]
    assert a.images[1].get_clim() == b.images[1].get_clim() == (0.25, 1.0)
    assert a.images[1].get_extent() == [-0.5, 7.5, 7.5, -0.5]  # over the whole picture


def test_maps_that_share_no_scale_begin_at_zero():
    maps = {"A": [np.array([[1.0, 2.0]]), np.zeros((1, 2))]}
    figure = map_rows(PICTURES, maps, titles=["", ""], shared=False)
    assert [axes.images[1].get_clim() for axes in figure.axes[2:]] == [(0.0, 2.0), (0.0, 1.0)]
    assert figure.axes[2].get_title(loc="left") == "A"


@pytest.mark.parametrize(("pictures", "maps"), [(PICTURES[:0], {}), (PICTURES, {"A": [None, None]}), (PICTURES, {})])
def test_nothing_to_lay_over_is_refused(pictures, maps):
    with pytest.raises(ReportError, match="must be there to be drawn"):
        map_rows(pictures, maps, titles=[""] * len(pictures), shared=True)


def test_equal_networks_are_equal_files():
    def drawn():
        maps = {"A": [np.array([[0.25, 0.5]])] * 2}
        features = feature_map({"T": points(1)}, LABELS, class_names=NAMES)
        return to_bytes(features, "svg"), to_bytes(map_rows(PICTURES, maps, titles=["", ""], shared=True), "png")

    assert drawn() == drawn()
