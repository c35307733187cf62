"""A process that runs one cell after another begins each of them as a new process would."""

import gc
import random
from functools import cache

import numpy as np
import torch
from torch.nn.modules import module as torch_module

_GLOBAL_HOOKS = [
    hooks
    for name, hooks in vars(torch_module).items()
    if name.startswith("_global_") and name.endswith("_hooks") and hasattr(hooks, "clear")
]


@cache
def spare_the_collector() -> None:
    """Take what this process holds by now, above all modules, out of the garbage collector's sight, once.

    A worker calls it before its first cell: each cell begins with a collection, which otherwise walks for 0.3 s over
    what the imports have made. What a cell leaves behind, and the teachers and images kept, come later and are seen.
    """
    gc.collect()
    gc.freeze()


def begin_afresh(threads: int) -> None:
    """Set everything that a former cell may have changed in this process to what PyTorch starts with.

    That is: threads, random streams, the gradient mode, default type and device, switches of arithmetic, hooks on all
    modules, memory held for reuse. Teacher and images that the process keeps are left; after a cell that was broken
    off, ``forget_inputs`` drops them.
    """
    torch.set_num_threads(threads)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    torch.set_grad_enabled(True)
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.use_deterministic_algorithms(False)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = False
    torch.backends.cudnn.enabled = True
    for hooks in _GLOBAL_HOOKS:
        hooks.clear()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
