"""The model itself, by torch: what every other engine is measured against and answers like."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor


def build(model: Any, precision: str, shape: tuple[int, ...]) -> Any:
    """A callable from pictures to (logits, pooled) for pictures of any size."""
    network = copy.deepcopy(model).eval().to(getattr(torch, precision))

    def run(images: Tensor) -> tuple[Tensor, Tensor]:
        pooled = network.pooled(images.to(network.norm.weight.dtype))
        return network.head(pooled), pooled

    return run
