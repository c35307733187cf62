"""The forward passes of a step compiled by torch.compile, with or without CUDA graphs.

Hooks are no way to a network's features here: the compiler does not look again whether a module has some. The networks
are written out as graphs of calls to their own layers instead, which return the features beside the logits and share
parameters, buffers and modes with the network. Loss terms, optimisers and what is measured run as they do without it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn

from dfkd.config import RunConfig
from dfkd.models.classifier import Classifier
from dfkd.models.generator import AttentionGenerator, SpatialAttention
from dfkd.models.taps import Features
from dfkd.passes import Judgement, Networks, Passes, judgement, looks_at_features

BACKEND = "inductor"
"""Of torch.compile."""


class _Tracer(fx.Tracer):
    """Writes a network out as a graph, and notes of every module that is called what goes in and what comes out."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[str, tuple[fx.Node, fx.Node]] = {}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Return whether a module stays one call: layers do, and what holds an autograd function of ours."""
        return isinstance(m, SpatialAttention) or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Record the call of a module, be it written out or not."""
        output = super().call_module(m, forward, args, kwargs)
        self.calls[self.path_of_module(m)] = (args[0].node, output.node)
        return output


@dataclass(frozen=True)
class Traced:
    """A classifier as a graph that returns what is asked for; calling it changes what a call of the network would."""

    graph: nn.Module
    """Images to logits, the feature maps of all stages or none, the penultimate feature or none, and what each of
    ``layers`` is given."""
    layers: list[nn.BatchNorm2d] = field(default_factory=list)
    """The network's batch norms in the order in which a pass reaches them, if they are looked at."""


def trace(classifier: Classifier, *, features: bool = False, batch_norms: bool = False) -> Traced:
    """Return the classifier as a graph that also returns its ``features`` or the inputs of its ``batch_norms``."""
    tracer = _Tracer()
    graph, network = tracer.trace(classifier.network), classifier.network
    modules = dict(network.named_modules())
    stages = [tracer.calls[path][1] for path in classifier.stages] if features else []
    penultimate = tracer.calls[classifier.head][0] if features else None
    norms = [path for path in tracer.calls if isinstance(modules[path], nn.BatchNorm2d)] if batch_norms else []
    (output,) = graph.find_nodes(op="output")
    output.args = ((output.args[0], stages, penultimate, [tracer.calls[path][0] for path in norms]),)
    layers = [module for path in norms if isinstance(module := modules[path], nn.BatchNorm2d)]
    return Traced(fx.GraphModule(network, graph), layers)


def trace_generator(generator: AttentionGenerator) -> nn.Module:
    """Return the generator as a graph from noise to images."""
    return fx.GraphModule(generator, _Tracer().trace(generator))


def compiled_passes(config: RunConfig, networks: Networks, *, graphs: bool = False) -> Passes:
    """Return the passes compiled, each when it is first run; with ``graphs`` replayed as CUDA graphs.

    The shapes of the first run are the only ones that they take.
    """
    mode = "reduce-overhead" if graphs else None

    def compiled(module: nn.Module) -> Callable[[Tensor], Any]:
        return torch.compile(module, fullgraph=True, dynamic=False, mode=mode, backend=BACKEND)

    weights = config.generator_loss
    with_features = looks_at_features(config)
    judge = trace(networks.teacher, features=weights.activation.weight > 0, batch_norms=weights.batch_norm.weight > 0)
    judging, answering = compiled(judge.graph), compiled(trace(networks.student).graph)
    generating = compiled(trace_generator(networks.generator)) if networks.generator is not None else None

    def generate(noise: Tensor) -> Tensor:
        assert generating is not None
        if graphs:  # a step's first pass: what the last step's graphs returned may be overwritten
            torch.compiler.cudagraph_mark_step_begin()
        return generating(noise)

    def teacher_with_statistics(images: Tensor) -> Judgement:
        logits, _, penultimate, inputs = judging(images)
        return judgement(networks, logits, judge.layers, inputs, penultimate)

    def with_its_features(classifier: Classifier) -> Callable[[Tensor], tuple[Tensor, Features]]:
        run = compiled(trace(classifier, features=with_features).graph)

        def classify(images: Tensor) -> tuple[Tensor, Features]:
            logits, stages, penultimate, _ = run(images)
            return logits, Features(stages, penultimate)

        return classify

    return Passes(
        generator=generate,
        teacher_with_statistics=teacher_with_statistics,
        frozen_student=lambda images: answering(images)[0],
        teacher_with_features=with_its_features(networks.teacher),
        student_with_features=with_its_features(networks.student),
    )
