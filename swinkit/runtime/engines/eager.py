"""The model itself, by torch: what every other engine is measured against and answers like."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...kernels.accelerate import apart
from ...kernels.build import HOOKS


def build(model: Any, precision: str, shape: tuple[int, ...]) -> Any:
    """A callable from pictures to (logits, pooled) for pictures of any size."""
    dtype = getattr(torch, precision)
    network = apart(model).eval().to(dtype)
    heard = any(getattr(network, hooks) for hooks in HOOKS)  # at the model itself, so that it must be called

    def run(images: Tensor) -> tuple[Tensor, Tensor]:
        x = images.to(dtype)
        pooled = network.pooled(x)
        return network(x) if heard else network.head(pooled), pooled

    return run
