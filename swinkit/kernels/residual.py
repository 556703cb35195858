"""The branches of a block for training: the norm and both ways of a gradient into a token in one pass, and sums of two types in one.

Under autocast tokens are mostly float32 and what layers answer is bfloat16; torch copies before it adds, forward and backward.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..model.block import Block, LayerNorm, post_norm, pre_norm
from .build import DTYPES, pointer
from .derivative import first_derivative
from .dispatch import autocast_dtype, eager_on_cpu, untouched
from .norm import KERNEL, computes, layer_norm, layer_norm_backward


def add(x: Tensor, y: Tensor) -> Tensor:
    """x + y of the type of ``x``; both float32 or bfloat16, each for itself, with a multiple of 16 numbers."""
    x, y = x.contiguous(), y.contiguous()
    out = torch.empty_like(x)
    KERNEL.add(
        DTYPES[x.dtype], DTYPES[y.dtype], pointer(x), pointer(y), None, 1, x.numel(), pointer(out), torch.get_num_threads()
    )
    return out


def sums(x: Tensor, y: Tensor) -> bool:
    """Whether the kernel adds ``y``, a layer's answer, to ``x``: a hook may have made it of another shape or type."""
    return x.shape == y.shape and y.dtype in DTYPES


class Sum(torch.autograd.Function):
    """x + y, of the type of ``x``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        ctx.dtype = y.dtype
        return add(x, y)

    @staticmethod
    @first_derivative
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        return gradients[0], gradients[0].to(ctx.dtype)


class NormFork(torch.autograd.Function):
    """x and LN(x), where a branch leaves the main path in version 1; ``dtype`` is that of the norm."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        statistics = x.new_empty(x.shape[:-1].numel(), 2, dtype=torch.float32)
        normed = layer_norm(x, weight, bias, None, eps, dtype, statistics)
        ctx.save_for_backward(x, weight, statistics)
        return x.view_as(x), normed

    @staticmethod
    @first_derivative
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        (x, weight, statistics), (beside, gradient) = ctx.saved_tensors, gradients
        return *layer_norm_backward(x, weight, statistics, gradient, beside.contiguous()), None, None


class CastFork(torch.autograd.Function):
    """x and x rounded to ``dtype``, where a branch leaves the main path in version 2."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        return x.view_as(x), x.to(dtype)

    @staticmethod
    @first_derivative
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return add(*gradients), None


class NormSum(torch.autograd.Function):
    """x + LN(y), where a branch of version 2 comes back to the main path."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        y = y.contiguous()
        statistics = y.new_empty(y.shape[:-1].numel(), 2, dtype=torch.float32)
        ctx.save_for_backward(y, weight, statistics)
        return layer_norm(y, weight, bias, x, eps, x.dtype, statistics)

    @staticmethod
    @first_derivative
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, None]:
        y, weight, statistics = ctx.saved_tensors
        return gradients[0], *layer_norm_backward(y, weight, statistics, gradients[0]), None


def native_residual(block: Block, norm: LayerNorm, layer: nn.Module, x: Tensor, *rest: Any) -> Tensor | None:
    """What ``block.branch`` computes while it learns, or None where the kernel does not apply."""
    dtype = autocast_dtype(x)
    if not (torch.is_grad_enabled() and eager_on_cpu(x) and block.branch in (pre_norm, post_norm)):
        return None
    if not (untouched(norm) and computes(norm, x, dtype)):
        return None
    x = x.contiguous()
    if block.branch is pre_norm:
        x, normed = NormFork.apply(x, norm.weight, norm.bias, norm.eps, dtype)
        y = block.drop_path(layer(normed, *rest))
        return Sum.apply(x, y) if sums(x, y) else x + y
    if block.training and block.drop_path.rate:
        return None  # what is dropped is the norm's answer
    x, rounded = CastFork.apply(x, dtype) if dtype != x.dtype else (x, x)
    y = layer(rounded, *rest)
    return NormSum.apply(x, y, norm.weight, norm.bias, norm.eps) if sums(x, y) else x + norm(y)
