"""The folded model in plain torch for pictures of one size: what compilers for fixed shapes are given.

Index tables and masks are constants of the graph.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ...model.attention import attend
from ..folding import Affine, Attention, Folded, Parts
from .native import GatheredAttention, PlainDense, PlainNorm


def folded(
    model: Any, shape: tuple[int, ...], dtype: torch.dtype = torch.float32, mix: Callable[..., Tensor] = attend
) -> nn.Module:
    """A module from pictures of ``shape`` (B, channels, H, W) to (logits, pooled), ready to be traced; windows attend by ``mix``."""

    def dense(affine: Affine) -> nn.Module:
        return PlainDense(affine, dtype)

    def attention(source: Attention) -> nn.Module:
        return GatheredAttention(source, dtype, mix)

    def norm(source: nn.LayerNorm | None) -> nn.Module:
        return PlainNorm(source, dtype)

    network = Folded(model, Parts(dense, attention, norm, dtype)).eval().requires_grad_(False)
    network(torch.zeros(shape))  # settles what a tracer shall find as constants
    return network
