"""Layer norm by a native kernel: for training, and with the residual sum that follows it in version 2."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor, nn

from .build import CODE, COUNT, DTYPES, POINTER, Kernel, pointer
from .derivative import first_derivative
from .dispatch import autocast_dtype, eager_on_cpu

EPS = 1e-5
MULTIPLE = 16  # of channels
KERNEL = Kernel(
    "layer_norm",
    norm_forward=(None, CODE, CODE, *[POINTER] * 4, ctypes.c_float, COUNT, CODE, POINTER, POINTER, CODE),
    norm_backward=(None, CODE, CODE, *[POINTER] * 5, COUNT, CODE, *[POINTER] * 3, CODE),
    add=(None, CODE, CODE, *[POINTER] * 3, COUNT, COUNT, POINTER, CODE),
)


def supports_norm(channels: int, *dtypes: torch.dtype) -> bool:
    """Whether the kernel norms tokens of ``channels`` from and to ``dtypes``."""
    return channels % MULTIPLE == 0 and all(dtype in DTYPES for dtype in dtypes) and KERNEL.available


def layer_norm(
    x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, residual: Tensor | None = None, eps: float = EPS,
    dtype: torch.dtype | None = None, statistics: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """residual + LN(x) over the last axis of ``x`` (…, C), contiguous, float32 or bfloat16; ``weight`` and ``bias`` (C,) are float32.

    ``dtype`` is that of the answer and of ``residual``, by default that of ``x``. ``statistics`` (rows, 2), float32, receives the mean
    and the reciprocal deviation of each row.
    """
    out, width = torch.empty_like(x, dtype=dtype), x.shape[-1]
    weight, bias = (None if tensor is None else tensor.contiguous() for tensor in (weight, bias))
    KERNEL.norm_forward(
        DTYPES[x.dtype], DTYPES[out.dtype], *map(pointer, (x, weight, bias, residual)), eps, x.numel() // width, width,
        pointer(out), pointer(statistics), torch.get_num_threads(),
    )  # fmt: skip
    return out


def layer_norm_backward(
    x: Tensor, weight: Tensor, statistics: Tensor, gradient: Tensor, beside: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of ``x``, scale and offset from that of LN(x); ``beside``, like ``x``, is added to the first."""
    gradient, weight, width = gradient.contiguous(), weight.contiguous(), x.shape[-1]
    grad_x, grad_weight, grad_bias = torch.empty_like(x), torch.zeros_like(weight), torch.zeros_like(weight)
    KERNEL.norm_backward(
        DTYPES[x.dtype], DTYPES[gradient.dtype], *map(pointer, (x, weight, statistics, gradient, beside)), x.numel() // width, width,
        *map(pointer, (grad_x, grad_weight, grad_bias)), torch.get_num_threads(),
    )  # fmt: skip
    return grad_x, grad_weight, grad_bias


class NativeNorm(torch.autograd.Function):
    """LN(x), from the type of ``x`` to ``dtype``; keeps mean and deviation of each row."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
        x = x.contiguous()
        statistics = x.new_empty(x.shape[:-1].numel(), 2, dtype=torch.float32)
        ctx.save_for_backward(x, weight, statistics)
        return layer_norm(x, weight, bias, None, eps, dtype, statistics)

    @staticmethod
    @first_derivative
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        x, weight, statistics = ctx.saved_tensors
        return *layer_norm_backward(x, weight, statistics, gradients[0]), None, None


def native_norm(module: nn.LayerNorm, x: Tensor) -> Tensor | None:
    """What :class:`~swinkit.model.block.LayerNorm` computes, or None where the kernel does not apply."""
    return _native(module, x, torch.float32 if torch.is_autocast_enabled("cpu") else x.dtype)


def native_norm_for_layer(module: nn.LayerNorm, x: Tensor) -> Tensor | None:
    """The same before a linear layer, which autocast would have round the norm first."""
    return _native(module, x, autocast_dtype(x))


def _native(module: nn.LayerNorm, x: Tensor, dtype: torch.dtype) -> Tensor | None:
    return NativeNorm.apply(x, module.weight, module.bias, module.eps, dtype) if computes(module, x, dtype) else None


def computes(module: nn.LayerNorm, x: Tensor, dtype: torch.dtype) -> bool:
    """Whether the kernel computes ``module`` of ``x`` with an answer of ``dtype``."""
    affine = all(one is not None and one.dtype == torch.float32 for one in (module.weight, module.bias))
    return affine and x.shape[-1:] == module.normalized_shape and eager_on_cpu(x) and supports_norm(x.shape[-1], x.dtype, dtype)
