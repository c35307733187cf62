"""The modules beside the student: which there are, whom they compare where, and what they are trained by."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dfkd.errors import ConfigError
from dfkd.models import MODELS, build_classifier
from dfkd.models.auxiliary import build_auxiliary
from dfkd.models.taps import Features, tap_features


def maps(seed=0, channels=8):
    return torch.randn(2, channels, 3, 3, generator=torch.Generator().manual_seed(seed))


def pair(teacher="resnet8", student="resnet8", size=16):
    return tuple(
        build_classifier(name, classes=3, image_size=size, seed=0, role=role)
        for name, role in ((teacher, "teacher"), (student, "student"))
    )


def built(config, *names):
    teacher, student = pair(*names)
    return build_auxiliary(config, teacher=teacher, student=student)


def test_only_terms_that_are_switched_on_have_modules(tiny):
    for mhad in (0.0, 1.0):
        for sfcl in (0.0, 1.0):
            config = tiny({"student_loss.mhad.weight": mhad, "student_loss.sfcl.weight": sfcl})
            assert set(built(config)) == {n for n, w in (("mhad", mhad), ("sfcl", sfcl)) if w}


@pytest.mark.parametrize("name", ["mhad", "sfcl"])
def test_a_terms_initial_weights_do_not_depend_on_the_other_term(tiny, name):
    other = {"mhad": "sfcl", "sfcl": "mhad"}[name]
    alone, both = built(tiny({f"student_loss.{other}.weight": 0.0}))[name], built(tiny())[name]
    for a, b in zip(alone.parameters(), both.parameters(), strict=True):
        assert torch.equal(a, b)


TRAINING = [("frozen", False, None), ("shared", True, None), ("student", False, True), ("both", True, True)]
"""Whether the attention on the teacher's side is trained, and the student's own, if there is one."""


@pytest.mark.parametrize(("training", "teacher_side", "student_side"), TRAINING)
def test_gradients_reach_the_attention_that_is_to_be_trained(tiny, training, teacher_side, student_side):
    config = tiny({"student_loss.mhad.attention": training, "student_loss.sfcl.weight": 0.0})
    mhad, images = built(config)["mhad"], torch.randn(4, 3, 16, 16)
    teacher, student = pair()
    with tap_features(student, enabled=True) as seen:
        student.network(images)
    with tap_features(teacher, enabled=True) as wanted, torch.no_grad():
        teacher.network(images)
    mhad(wanted, seen).backward()

    def reached(module):
        return {p.requires_grad and p.grad is not None and bool(p.grad.any()) for p in module.parameters()}

    assert reached(mhad.attentions) == {teacher_side}
    assert reached(mhad.adapters) == {True}
    assert all(p.grad is None for p in teacher.network.parameters())
    if student_side is None:
        assert mhad.student_attentions is None
    else:
        assert reached(mhad.student_attentions) == {student_side}
        assert not torch.equal(mhad.student_attentions[0].factors.weight, mhad.attentions[0].factors.weight)


def test_the_teachers_side_starts_alike_whoever_trains_it(tiny):
    one, *others = (built(tiny({"student_loss.mhad.attention": training}))["mhad"] for training, *_ in TRAINING)
    for other in others:
        for p, q in zip(one.attentions.parameters(), other.attentions.parameters(), strict=True):
            assert torch.equal(p, q)


@pytest.mark.parametrize("compared", ["attended_features", "attention_maps"])
def test_what_is_compared_is_the_attended_features_or_the_attention(tiny, compared):
    mhad = built(tiny({"student_loss.mhad.compared": compared}))["mhad"]
    teacher, student = ([maps(seed, channels=c) for c in (16, 32, 64)] for seed in (0, 1))
    expected = 0.0
    for attend, adapt, wanted, given_map in zip(mhad.attentions, mhad.adapters, teacher, student, strict=True):
        adapted = adapt(given_map)
        one, other = attend.attention(wanted), attend.attention(adapted)
        if compared == "attended_features":
            one, other = one * wanted, other * adapted
        expected += ((one - other) ** 2).mean()
    torch.testing.assert_close(mhad(Features(teacher), Features(student)), expected)


def test_mhad_vanishes_when_the_adapted_maps_are_the_teachers(tiny):
    mhad = built(tiny())["mhad"]
    for adapter in mhad.adapters:
        nn.init.dirac_(adapter.weight)
        nn.init.zeros_(adapter.bias)
    stages = [maps(channels=c) for c in (16, 32, 64)]
    assert mhad(Features(stages), Features(stages)) == 0


def test_adapters_lead_from_the_students_channels_to_the_teachers(tiny):
    modules = built(tiny(), "resnet18", "resnet10_half")
    assert [(a.in_channels, a.out_channels) for a in modules["mhad"].adapters] == [
        (32, 64),
        (64, 128),
        (128, 256),
        (256, 512),
    ]
    assert (modules["sfcl"].adapter.in_features, modules["sfcl"].adapter.out_features) == (256, 512)


def test_sfcl_needs_no_adapter_between_features_of_one_length(tiny):
    assert isinstance(built(tiny())["sfcl"].adapter, nn.Identity)


def contrast_by_hand(weights, teacher, student, *, temperature):
    """Return equations 8 and 9 as they are written, from the weights of ContrastiveProjection by name."""

    def project(x):
        for linear, norm in (("project.0", "project.1"), ("project.3", "project.4")):
            x = x @ weights[f"{linear}.weight"].T
            x = F.batch_norm(x, None, None, weights[f"{norm}.weight"], weights[f"{norm}.bias"], training=True).relu()
        return F.linear(x, weights["project.6.weight"], weights["project.6.bias"])

    if "adapter.weight" in weights:
        student = F.linear(student, weights["adapter.weight"], weights["adapter.bias"])
    anchors, count = project(teacher), len(teacher)
    both = torch.cat([anchors, project(student)])
    scores = torch.exp(F.cosine_similarity(anchors[:, None], both[None], dim=2) / temperature)
    positives = scores[range(count), range(count, 2 * count)]
    return -(positives / (scores.sum(dim=1) - scores[range(count), range(count)])).log().mean()


@pytest.mark.parametrize("temperature", [None, 0.07, 0.5])
@pytest.mark.parametrize("student", ["resnet8", "resnet10_half"])
def test_the_contrast_by_hand_anchors_the_teacher_and_projects_both_by_one_mlp(tiny, student, temperature):
    # `None` is the default, 0.07. The features are of 64 numbers; resnet10_half's 256 go through the adapter first.
    config = tiny({} if temperature is None else {"student_loss.sfcl.temperature": temperature})
    sfcl = built(config, "resnet8", student)["sfcl"]
    source = torch.Generator().manual_seed(2)
    for p in sfcl.parameters():  # batch norm starts at 1 and 0, where forgetting it would not be seen
        nn.init.normal_(p, std=0.5, generator=source)
    theirs, own = (torch.randn(5, size, generator=source) for size in (64, {"resnet8": 64}.get(student, 256)))
    expected = contrast_by_hand(dict(sfcl.named_parameters()), theirs, own, temperature=temperature or 0.07)
    torch.testing.assert_close(sfcl(Features([], theirs), Features([], own)), expected, rtol=1e-4, atol=1e-5)


def looked_at(module, teacher, student, size):
    """Return the loss of a module on four images, with a gradient to the student."""
    images = torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(1))
    with tap_features(teacher, enabled=True) as wanted, torch.no_grad():
        teacher.network.eval()(images)
    with tap_features(student, enabled=True) as seen:
        student.network(images)
    return module(wanted, seen), wanted, seen


@pytest.mark.parametrize(
    ("names", "attended"),
    [
        (("resnet34", "resnet18"), [(64, 64), (128, 128), (256, 256), (512, 512)]),
        (("resnet34", "resnet50"), [(256, 64), (512, 128), (1024, 256), (2048, 512)]),
        (("wrn40_2", "wrn16_1"), [(16, 32), (32, 64), (64, 128)]),
        (("resnet34", "wrn40_2"), [(128, 512)]),
        (("resnet34", "mobilenetv2"), [(1280, 512)]),
        (("vgg11", "resnet18"), [(512, 512)]),
    ],
)
def test_pairs_are_compared_at_all_stages_that_correspond_and_else_at_the_penultimate_feature(tiny, names, attended):
    teacher, student = pair(*names, size=32)
    config = tiny({"student_loss.mhad.hidden_size": 24})
    mhad = build_auxiliary(config, teacher=teacher, student=student)["mhad"]
    if len(attended) > 1:
        assert [(a.in_channels, a.out_channels) for a in mhad.adapters] == attended
    else:
        widths = [(m.in_features, m.out_features) for m in mhad.adapters[0] if isinstance(m, nn.Linear)]
        assert widths == [(attended[0][0], 24), (24, 24), (24, attended[0][1])]
    assert [attention.factors.in_channels for attention in mhad.attentions] == [after for _, after in attended]
    loss, *_ = looked_at(mhad, teacher, student, 32)
    loss.backward()
    assert loss.isfinite()
    assert loss > 0
    assert all(p.grad is not None for p in mhad.adapters.parameters())
    assert all(p.grad is None for p in teacher.network.parameters())
    first = next(p for p in student.network.parameters() if p.ndim > 1)
    assert first.grad.any()


def test_the_penultimate_distance_by_hand(tiny):
    teacher, student = pair("resnet8", "mobilenetv2")
    config = tiny({"student_loss.mhad.hidden_size": 24, "student_loss.mhad.orders": "1"})
    mhad = build_auxiliary(config, teacher=teacher, student=student)["mhad"]
    loss, wanted, seen = looked_at(mhad, teacher, student, 16)
    _, linear1, norm1, _, linear2, norm2, _, linear3, _ = mhad.adapters[0]
    hidden = norm1(seen.penultimate @ linear1.weight.T).relu()
    hidden = norm2(hidden @ linear2.weight.T).relu()
    down, up = (m.weight[..., 0, 0] for m in (mhad.attentions[0].factors, mhad.attentions[0].raise_channels))
    own, theirs = (
        x * ((x @ down.T).relu() @ up.T).sigmoid()
        for x in (hidden @ linear3.weight.T + linear3.bias, wanted.penultimate)
    )
    assert own.shape == (4, 64)
    torch.testing.assert_close(loss, ((own - theirs) ** 2).sum() / (4 * 64))


def test_chosen_stages_alone_are_adapted_and_attended(tiny):
    teacher, student = pair("resnet10", "resnet10_half", size=32)
    mhad = build_auxiliary(tiny({"student_loss.mhad.stages": "2+4"}), teacher=teacher, student=student)["mhad"]
    assert [(a.in_channels, a.out_channels) for a in mhad.adapters] == [(64, 128), (256, 512)]
    loss, wanted, seen = looked_at(mhad, teacher, student, 32)
    expected = sum(
        ((attend(adapt(seen.stages[i])) - attend(wanted.stages[i])) ** 2).mean()
        for attend, adapt, i in zip(mhad.attentions, mhad.adapters, (1, 3), strict=True)
    )
    torch.testing.assert_close(loss, expected)


def test_all_stages_are_the_default_where_they_correspond(tiny):
    default, named = (built(tiny({"student_loss.mhad.stages": choice}))["mhad"] for choice in ("auto", "1+2+3"))
    assert default.stages == named.stages == (0, 1, 2)
    for a, b in zip(default.parameters(), named.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_reduction_that_does_not_divide_the_teachers_channels_is_refused(tiny):
    config = tiny(
        {
            "teacher.architecture": "mobilenetv2",
            "student.architecture": "mobilenetv2",
            "student_loss.mhad.reduction": 16,
        }
    )
    rule = "`student_loss.mhad.reduction` must divide .* it is 16, and mobilenetv2 has 24. .*reduction=8"
    with pytest.raises(ConfigError, match=rule):
        built(config, "mobilenetv2", "mobilenetv2")


@pytest.mark.parametrize("name", MODELS)
def test_a_reduction_of_8_divides_the_channels_of_every_network(name):
    model = build_classifier(name, classes=3, image_size=16, seed=0, role="teacher")
    assert not [channels for channels in (*model.stage_channels, model.feature_size) if channels % 8]
