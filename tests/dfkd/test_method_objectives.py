"""What each method's preset minimises, written out from the networks' answers with the numbers of its paper or code.

The terms by themselves are held to numbers in the files of the losses; here it is held what a preset makes of them.
"""

import pytest
import torch
from torch import nn

import dfkd.steps
import dfkd.synthesis.noise
from dfkd.config import METHODS, REAL_METHODS
from dfkd.data import dataset_spec
from dfkd.learners import Learners
from dfkd.overrides import with_overrides
from dfkd.stepping import freeze_student
from dfkd.steps import student_step
from dfkd.synthesis.terms import minimised, synthesis_terms
from search_spaces import load_method

CPU = torch.device("cpu")
LABELS = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
TARGETS = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]]).repeat(4, 1)


class Answers:
    """What teacher and student say of a batch, in double precision, and the sums that objectives are made of."""

    def __init__(self, learners, images, *, student_mode):
        classifier = learners.teacher.classifier
        self.images, self.inputs, self.layers, handles = images.double(), [], [], []
        for layer in classifier.network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                self.layers.append(layer)
                handles.append(layer.register_forward_pre_hook(lambda _, args: self.inputs.append(args[0].double())))
        head = classifier.network.get_submodule(classifier.head)
        handles.append(head.register_forward_pre_hook(lambda _, args: setattr(self, "feature", args[0].double())))
        self.maps = {"teacher": [], "student": []}
        for role, each in (("teacher", classifier), ("student", learners.student)):
            for stage in each.stages:
                keep = self.maps[role].append
                module = each.network.get_submodule(stage)
                handles.append(module.register_forward_hook(lambda _, args, maps, keep=keep: keep(maps)))
        with torch.no_grad():
            self.teacher = classifier.network.eval()(images).double()
            self.student = learners.student.network.train(student_mode == "batch")(images).double()
        for handle in handles:
            handle.remove()

    def kl(self, temperature=1.0, *, where=None):
        """Return T^2 sum p log(p / q), averaged over all images, of those ``where`` alone if given."""
        p, q = ((logits / temperature).softmax(1) for logits in (self.teacher, self.student))
        each = (p * (p / q).log()).sum(1)
        return temperature**2 * (each if where is None else each[where]).sum() / len(p)

    def kl_where_both_agree(self):
        agree = self.teacher.argmax(1) == self.student.argmax(1)
        assert 0 < agree.sum() < len(agree)  # or the mask would not be seen
        return self.kl(where=agree)

    def js(self, temperature):
        p, q = ((logits / temperature).softmax(1) for logits in (self.teacher, self.student))
        m = (p + q) / 2
        return ((p * (p / m).log()).sum(1) + (q * (q / m).log()).sum(1)).mean() / 2

    def l1(self):
        return (self.teacher - self.student).abs().mean()

    def sure_of(self, labels):
        return -self.teacher.log_softmax(1)[torch.arange(len(labels)), labels].mean()

    def sure(self):
        return self.sure_of(self.teacher.argmax(1))

    def balance(self):
        p = self.teacher.softmax(1).mean(0)
        return (p * p.log()).sum()

    def response(self):
        return self.feature.abs().mean()

    def impressions(self):
        return -(TARGETS * (self.teacher / 20).log_softmax(1)).sum(1).mean()

    def statistics(self):
        total = 0
        for layer, x in zip(self.layers, self.inputs, strict=True):
            mean = x.mean((0, 2, 3))
            variance = (x - mean[:, None, None]).square().mean((0, 2, 3))
            total += (layer.running_mean - mean).square().sum().sqrt()
            total += (layer.running_var - variance).square().sum().sqrt()
        return total

    def variation(self):
        x = self.images
        pairs = (
            (x[..., :-1], x[..., 1:]),
            (x[..., :-1, :], x[..., 1:, :]),
            (x[..., 1:, :-1], x[..., :-1, 1:]),
            (x[..., :-1, :-1], x[..., 1:, 1:]),
        )
        return sum((a - b).square().sum().sqrt() for a, b in pairs)

    def attention_transfer(self):
        total = 0
        for stages in zip(self.maps["teacher"], self.maps["student"], strict=True):
            where = [stage.double().square().mean(1).flatten(1) for stage in stages]
            a, b = (x / x.square().sum(1, keepdim=True).sqrt() for x in where)
            total += (a - b).square().mean()
        return total


IMAGES_MINIMISE = {
    "dfkd_fgvc": lambda of: 0.3 * of.statistics() - of.kl(),
    "zskt": lambda of: -of.kl(),
    "dafl": lambda of: 0.5 * of.sure() + 8.686 * of.balance() - 0.01 * of.response(),
    "dfad": lambda of: -of.l1(),
    "dfq": lambda of: of.statistics() - of.kl() + of.sure() + 20 * of.balance(),
    "mad": lambda of: of.statistics() - of.kl() + of.sure_of(LABELS),
    "adi": lambda of: 10 * of.statistics() + of.sure_of(LABELS) + 2.5e-5 * of.variation() - 0.2 * of.js(3),
    "zskd": lambda of: of.impressions(),
    "cmi": lambda of: of.statistics() + of.sure_of(LABELS) - 0.5 * of.kl_where_both_agree(),  # and 0.8 L_cr: below
    "fast": lambda of: 10 * of.statistics() + 0.4 * of.sure_of(LABELS) - 1.1 * of.kl_where_both_agree(),
    "pre_dfkd": lambda of: of.sure() + 2.1715 * of.balance() - 0.1 * of.response() - of.js(3),
    "own_best": lambda of: 0.3 * of.statistics() + 0.3 * of.sure_of(LABELS),
}

STUDENT_MINIMISES = {
    "dfkd_fgvc": lambda of, term: of.kl() + 10 * term["mhad"] + 8 * term["sfcl"],
    "zskt": lambda of, term: of.kl() + 250 * of.attention_transfer(),
    "dafl": lambda of, term: of.kl(),
    "dfad": lambda of, term: of.l1(),
    "dfq": lambda of, term: of.kl(),
    "mad": lambda of, term: of.kl(),
    "adi": lambda of, term: of.kl(3),
    "zskd": lambda of, term: of.kl(20),
    "cmi": lambda of, term: of.kl(20),
    "fast": lambda of, term: of.kl(20),
    "pre_dfkd": lambda of, term: of.l1(),
    "own_best": lambda of, term: of.kl() + 100 * term["mhad"] + 1 * term["sfcl"],
}


@torch.no_grad()
def make_agree_on_some(learners, images):
    """Make the student the teacher, but for one class less likely: of images of that class, it sees some in another."""
    teacher, student = learners.teacher.classifier, learners.student.network
    student.load_state_dict(teacher.network.state_dict())
    logits = teacher.network.eval()(images)
    chosen = logits.argmax(1).mode().values
    others = torch.arange(3) != chosen
    lead = logits[:, chosen] - logits[:, others].amax(1)
    student.get_submodule(teacher.head).bias[chosen] -= lead[logits.argmax(1) == chosen].mean()


@pytest.fixture
def started(tiny, teacher, digits):
    """Return ``started(method)``: the configuration and learners of its preset, and images of all classes."""

    def start(method):
        config = with_overrides(tiny(), {**load_method(method).overrides, "method": method})
        noise = torch.randn((8, 3, 16, 16), generator=torch.Generator().manual_seed(0))
        chosen = torch.cat([(digits[1].labels == label).nonzero()[:3, 0] for label in range(3)])[:8]
        images = dataset_spec("digits").normalise_bytes(digits[1].images[chosen]) + 0.1 * noise
        learners = Learners(config, teacher=teacher, device=CPU)
        make_agree_on_some(learners, images)
        return config, learners, images

    return start


def test_every_data_free_method_is_here():
    assert set(IMAGES_MINIMISE) == set(STUDENT_MINIMISES) == set(METHODS) - set(REAL_METHODS)


@pytest.mark.parametrize("method", IMAGES_MINIMISE)
def test_images_minimise_what_the_method_says(started, method):
    config, learners, images = started(method)
    mode = config.student.normalisation_when_frozen
    expected = IMAGES_MINIMISE[method](Answers(learners, images, student_mode=mode))
    freeze_student(learners.student.network, mode)
    asked = None if config.generator_loss.one_hot.labels == "argmax" else LABELS
    targets = TARGETS if config.generator_loss.impressions.weight > 0 else None
    found = minimised(config.generator_loss, synthesis_terms(learners.judges, images, asked, targets=targets))
    assert found.item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("method", STUDENT_MINIMISES)
def test_the_student_minimises_what_the_method_says(started, method, monkeypatch):
    config, learners, images = started(method)
    of = Answers(learners, images, student_mode="batch")
    sums, weigh = [], dfkd.steps.weighted_sum

    def noted(terms, weights):
        sums.append(weigh(terms, weights))
        return sums[-1]

    monkeypatch.setattr(dfkd.steps, "weighted_sum", noted)
    monkeypatch.setattr(learners, "sample", lambda: images)
    measured = student_step(config, learners)
    term = {
        name.removeprefix("student_loss."): value.item() for name, value in measured.items() if "student_loss." in name
    }
    expected = STUDENT_MINIMISES[method](of, term)
    # At a temperature of 20 float32 keeps four digits of a divergence.
    assert sums[0].item() == pytest.approx(expected.item(), rel=1e-3)


def test_cmis_contrast_is_weighed_into_its_sum(started, monkeypatch):
    _, learners, _ = started("cmi")
    sums, minimise = [], dfkd.synthesis.noise.minimised

    def noted(settings, terms):
        sums.append((minimise(settings, terms).item(), {name: value.item() for name, value in terms.items()}))
        return minimise(settings, terms)

    monkeypatch.setattr(dfkd.synthesis.noise, "minimised", noted)
    learners.synthesize()
    (found, terms), weights = sums[0], {"batch_norm": 1.0, "one_hot": 1.0, "adversarial": 0.5, "contrast": 0.8}
    assert {name.removeprefix("generator_loss.") for name in terms} == set(weights)
    expected = sum(weight * terms[f"generator_loss.{name}"] for name, weight in weights.items())
    assert found == pytest.approx(expected, rel=1e-5)
