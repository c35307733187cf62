"""What a run computes, as one frozen tree of dataclasses. Where it runs (device, paths, workers) is not in here.

Defaults are the paper's (Shao et al., ICCV 2023, "Data-free Knowledge Distillation for Fine-grained Visual
Categorization", section 5.1); what the paper leaves open has our choice, with the reason in docs/departures.md.
"""

from dfkd.config.data import DATASETS, DataConfig, parse_classes
from dfkd.config.generator import (
    BLOCK_NORMALISATIONS,
    GENERATOR_OUTPUTS,
    GENERATOR_SCHEDULES,
    NOISE_LASTS,
    SOFTMAX_AXES,
    GeneratorConfig,
    SpatialAttentionConfig,
)
from dfkd.config.generator_loss import (
    DISCREPANCIES,
    LABELS,
    MASKS,
    AdversarialConfig,
    BatchNormConfig,
    GeneratorLossConfig,
    parse_concentrations,
)
from dfkd.config.networks import (
    ARCHITECTURES,
    CROPS,
    INITIAL_WEIGHTS,
    NORMALISATIONS,
    PRETRAINED,
    StudentConfig,
    TeacherConfig,
)
from dfkd.config.orders import REDUCTIONS, parse_orders
from dfkd.config.run import METHODS, PHASES, PRECISIONS, REAL_METHODS, ComputeConfig, RunConfig, ScheduleConfig
from dfkd.config.student_loss import (
    ATTENTION_ACTIVATIONS,
    ATTENTION_TARGETS,
    ATTENTION_TRAINING,
    DISTILLATIONS,
    KL_DIRECTIONS,
    STAGE_CHOICES,
    DistillationConfig,
    MHADConfig,
    SFCLConfig,
    StudentLossConfig,
    parse_stages,
)
from dfkd.config.synthesis import REPLAYS, SYNTHESES, ReplayConfig, SynthesisConfig

__all__ = [
    "ARCHITECTURES",
    "ATTENTION_ACTIVATIONS",
    "ATTENTION_TARGETS",
    "ATTENTION_TRAINING",
    "BLOCK_NORMALISATIONS",
    "CROPS",
    "DATASETS",
    "DISCREPANCIES",
    "DISTILLATIONS",
    "GENERATOR_OUTPUTS",
    "GENERATOR_SCHEDULES",
    "INITIAL_WEIGHTS",
    "KL_DIRECTIONS",
    "LABELS",
    "MASKS",
    "METHODS",
    "NOISE_LASTS",
    "NORMALISATIONS",
    "PHASES",
    "PRECISIONS",
    "PRETRAINED",
    "REAL_METHODS",
    "REDUCTIONS",
    "REPLAYS",
    "SOFTMAX_AXES",
    "STAGE_CHOICES",
    "SYNTHESES",
    "AdversarialConfig",
    "BatchNormConfig",
    "ComputeConfig",
    "DataConfig",
    "DistillationConfig",
    "GeneratorConfig",
    "GeneratorLossConfig",
    "MHADConfig",
    "ReplayConfig",
    "RunConfig",
    "SFCLConfig",
    "ScheduleConfig",
    "SpatialAttentionConfig",
    "StudentConfig",
    "StudentLossConfig",
    "SynthesisConfig",
    "TeacherConfig",
    "parse_classes",
    "parse_concentrations",
    "parse_orders",
    "parse_stages",
]
