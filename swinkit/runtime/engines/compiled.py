"""torch.compile with frozen weights, for one shape: takes a minute to build."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .fixed import folded


def build(model: Any, precision: str, shape: tuple[int, ...]) -> Any:
    """A callable from pictures of ``shape`` to (logits, pooled)."""
    from torch._inductor import config

    network = folded(model, shape, getattr(torch, precision))
    network.compile(fullgraph=True, dynamic=False)
    with config.patch(freezing=True):
        network(torch.zeros(shape))

    def run(images: Tensor) -> tuple[Tensor, Tensor]:
        return network(images)

    return run
