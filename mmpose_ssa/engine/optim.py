"""Mixed precision on CPUs, which MMEngine's ``AmpOptimWrapper`` refuses."""
from contextlib import contextmanager
from typing import Iterator

import torch
import torch.nn as nn
from mmengine.optim import OptimWrapper
from mmpose.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """Forward in bfloat16 on a CPU; parameters and gradients in float32.

    bfloat16 has the range of float32, so that no loss needs scaling. It pays
    where the CPU has instructions for it (AVX-512 BF16, AMX). Arguments are
    those of :class:`OptimWrapper`.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """As the base class, and the forward in bfloat16."""
        with super().optim_context(model), torch.autocast(
                'cpu', dtype=torch.bfloat16):
            yield
