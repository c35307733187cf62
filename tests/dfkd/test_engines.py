"""The engines: each gives what the eager one gives, and what cannot run here is refused before any work."""

import jaxtyping
import pytest
import torch

import dfkd.compiled
import dfkd.engines
from dfkd.compiled import trace
from dfkd.engines import check_engine
from dfkd.errors import ConfigError
from dfkd.learners import Learners
from dfkd.models.classifiers import MODELS, build_classifier
from dfkd.models.taps import tap_batch_norms, tap_features
from dfkd.steps import generator_step, student_step

CPU = torch.device("cpu")
BASELINE = {"student_loss.mhad.weight": 0.0, "student_loss.sfcl.weight": 0.0, "generator.attention.weight": 0.0}


@pytest.fixture
def unchecked():
    """Take the shape checks off: neither the graphs' tracing nor the compiler can look through them."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def modules(learners):
    return {
        "generator": learners.synthesizer.network,
        "student": learners.student.network,
        "auxiliary": learners.auxiliary,
    }


def assert_same(one, other, *, exactly):
    """Compare parameters, buffers and gradients; a gradient is measured against its network's largest."""
    for name, module in modules(one).items():
        twin = modules(other)[name]
        grads = {key: p.grad for key, p in module.named_parameters()}
        twin_grads = {key: p.grad for key, p in twin.named_parameters()}
        scale = max([grad.abs().max().item() for grad in grads.values() if grad is not None], default=1.0)
        for key, grad in grads.items():
            assert (grad is None) == (twin_grads[key] is None), (name, key)
            if grad is not None:
                close(grad, twin_grads[key], atol=1e-4 * scale, exactly=exactly, of=(name, key))
        buffers = dict(twin.named_buffers())
        for key, buffer in module.named_buffers():
            close(buffer, buffers[key], atol=1e-5, exactly=exactly, of=(name, key))


def close(one, other, *, atol, exactly, of):
    tolerances = {"rtol": 0, "atol": 0} if exactly else {"rtol": 1e-4, "atol": atol}
    torch.testing.assert_close(one, other, **tolerances, msg=lambda text: f"{of}: {text}")


def assert_parity(config, eager, other, *, exactly):
    """Take a generator step, then a student step from the state that the eager one left, with both."""
    for step in (generator_step, student_step):
        other.load_state_dict(eager.state_dict())
        measured = [step(config, each) for each in (eager, other)]
        assert measured[0].keys() == measured[1].keys()
        for key, value in measured[0].items():
            close(value, measured[1][key], atol=1e-6, exactly=exactly, of=key)
        assert_same(eager, other, exactly=exactly)


@pytest.mark.parametrize("name", MODELS)
def test_a_networks_graph_returns_what_hooks_see(name, unchecked):
    classifier = build_classifier(name, classes=3, image_size=16, seed=0, role="student")
    network, traced = classifier.network.eval(), trace(classifier, features=True, batch_norms=True)
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        with tap_features(classifier, enabled=True) as features, tap_batch_norms(network, enabled=True) as seen:
            logits = network(images)
        found, stages, penultimate, inputs = traced.graph(images)
    layers, layer_inputs = seen
    assert [id(layer) for layer in traced.layers] == [id(layer) for layer in layers]
    pairs = zip([found, *stages, penultimate, *inputs], [logits, *features.stages, features.penultimate, *layer_inputs],
                strict=True)  # fmt: skip
    assert all(torch.equal(*pair) for pair in pairs)


def test_a_graph_shares_weights_and_modes_with_its_network_and_returns_no_more_than_asked(unchecked):
    classifier = build_classifier("resnet8", classes=3, image_size=16, seed=0, role="student")
    graph = trace(classifier).graph
    assert {id(p) for p in graph.parameters()} == {id(p) for p in classifier.network.parameters()}
    classifier.network.train()
    assert graph(torch.randn(2, 3, 16, 16))[1:] == ([], None, [])
    assert classifier.network.get_submodule("stem.1").num_batches_tracked == 1


@pytest.mark.parametrize("overrides", [pytest.param({}, marks=pytest.mark.slow), BASELINE], ids=["full", "baseline"])
def test_what_is_compiled_computes_what_eager_does(tiny, teacher, overrides, unchecked, monkeypatch):
    # All of torch.compile but the generation of code, whose kernels move last digits: the same bits.
    monkeypatch.setattr(dfkd.compiled, "BACKEND", "aot_eager")
    config = tiny(overrides)
    eager, other = (Learners(config, teacher=teacher, device=CPU, engine=name) for name in ("eager", "compile"))
    assert_parity(config, eager, other, exactly=True)


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [{}, BASELINE], ids=["full", "baseline"])
def test_compiled_steps_are_eager_steps_to_rounding(tiny, teacher, overrides, unchecked):
    config = tiny(overrides)
    eager, other = (Learners(config, teacher=teacher, device=CPU, engine=name) for name in ("eager", "compile"))
    assert_parity(config, eager, other, exactly=False)


@pytest.mark.parametrize(
    "overrides",
    [
        {},
        {"compute.precision": "bfloat16", "compute.channels_last": True},
        {"generator.block_normalisation": "batch", "student.normalisation_when_frozen": "running"},
        {"generator_loss.batch_norm.weight": 0.0, "generator.attention.weight": 0.0},
    ],
)
def test_checkpointed_activations_give_the_same_bits(tiny, teacher, overrides):
    config = tiny(overrides)
    plain, other = (
        Learners(config, teacher=teacher, device=CPU, checkpoint_activations=each) for each in (False, True)
    )
    for step in (generator_step, student_step, generator_step):
        measured = [step(config, each) for each in (plain, other)]
        assert all(torch.equal(value, measured[1][key]) for key, value in measured[0].items())
        assert_same(plain, other, exactly=True)


def test_checkpointing_keeps_less_for_the_backward_pass(tiny, teacher):
    kept = []
    for each in (False, True):
        learners = Learners(tiny(), teacher=teacher, device=CPU, checkpoint_activations=each)
        sizes = {}
        with torch.autograd.graph.saved_tensors_hooks(
            lambda x, sizes=sizes: sizes.update({x.data_ptr(): x.nbytes}) or x, lambda x: x
        ):
            images = learners.judges.network_input(learners.passes.generator(learners.synthesizer.latents.draw(8)[0]))
            learners.passes.teacher_with_statistics(images)
            learners.passes.frozen_student(images)
        kept.append(sum(sizes.values()))
    assert kept[1] < kept[0] / 3


@pytest.mark.parametrize(
    ("engine", "checkpoint_activations", "message"),
    [
        ("graphs", False, r"`--engine graphs` must run on a CUDA device, but the device is cpu.*--engine compile"),
        ("compile", True, r"`--checkpoint-activations` must go with `--engine eager`, but the engine is compile"),
    ],
)
def test_an_engine_that_cannot_do_it_is_refused(engine, checkpoint_activations, message):
    with pytest.raises(ConfigError, match=message):
        check_engine(engine, CPU, checkpoint_activations=checkpoint_activations)


def test_without_a_compiler_compile_is_refused_and_eager_is_not(monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("No working C++ compiler found in c++, g++\nand more")

    monkeypatch.setattr(torch, "compile", broken)
    check_engine("eager", CPU, checkpoint_activations=True)
    with pytest.raises(ConfigError, match=r"takes a C\+\+ compiler.*: RuntimeError: No working .* g\+\+\. Install it"):
        check_engine("compile", CPU, checkpoint_activations=False)
