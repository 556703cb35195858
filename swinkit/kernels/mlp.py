"""The MLP of a block for training: GELU by a native kernel, and one activation kept for the backward pass instead of two."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..model.block import Mlp
from . import dense
from .build import CODE, COUNT, DTYPES, POINTER, Kernel, pointer
from .dense import learned, linear, linear_backward
from .derivative import first_derivative
from .dispatch import autocast_dtype, eager_on_cpu, untouched

MULTIPLE = 16  # of channels
KERNEL = Kernel(
    "gelu",
    gelu_forward=(None, CODE, POINTER, COUNT, POINTER, CODE),
    gelu_backward=(None, CODE, POINTER, COUNT, POINTER, POINTER, CODE),
)


def supports_gelu(channels: int, dtype: torch.dtype) -> bool:
    """Whether the kernel computes the GELU of a hidden layer of ``channels``, in ``dtype``."""
    return channels % MULTIPLE == 0 and dtype in DTYPES and KERNEL.available


def gelu(x: Tensor) -> Tensor:
    """x Φ(x) of a contiguous ``x``, float32 or bfloat16."""
    out = torch.empty_like(x)
    KERNEL.gelu_forward(DTYPES[x.dtype], pointer(x), x.numel(), pointer(out), torch.get_num_threads())
    return out


def gelu_backward(x: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient of ``x`` from ``gradient``, that of its GELU, whose place it takes, and the GELU once more."""
    out = torch.empty_like(x)
    KERNEL.gelu_backward(DTYPES[x.dtype], pointer(x), x.numel(), *map(pointer, (out, gradient)), torch.get_num_threads())
    return gradient, out


def enter(x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """x Wᵀ + b and its GELU, in one pass where the kernel of linear layers applies."""
    if not dense.supports_linear(weight, x.dtype):
        hidden = linear(x, weight, bias).contiguous()
        return hidden, gelu(hidden)
    hidden = x.new_empty(*x.shape[:-1], len(weight))
    return hidden, dense.dense(x, dense.pack(weight, x.dtype), bias.float().contiguous(), len(weight), True, before=hidden)


def leave(gradient: Tensor, weight: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """From the gradient of gelu(hidden) Wᵀ, (rows, out), back to that of ``hidden`` (rows, in), and gelu(hidden); in one pass where the
    kernel of linear layers applies."""
    if dense.supports_linear(weight.t(), gradient.dtype):
        return dense.dense_backward(gradient, dense.pack(weight, gradient.dtype, transposed=True), hidden)
    return gelu_backward(hidden, linear_backward(gradient, weight).contiguous())


class NativeMlp(torch.autograd.Function):
    """gelu(x W1ᵀ + b1) W2ᵀ + b2; keeps what enters the GELU and computes what leaves it anew."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
        hidden, activated = enter(x, w1, b1)
        ctx.save_for_backward(x, hidden, w1, w2)
        return linear(activated, w2, b2)

    @staticmethod
    @first_derivative
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, hidden, w1, w2 = ctx.saved_tensors
        out, needed = gradients[0].flatten(0, -2).contiguous(), ctx.needs_input_grad
        inner, activated = leave(out, w2, hidden.flatten(0, -2))
        second = learned(out, activated, any(needed[3:]), w2.dtype)
        first = learned(inner, x.flatten(0, -2), any(needed[1:3]), w1.dtype)
        return linear_backward(inner, w1).view(x.shape) if needed[0] else None, *first, *second


def native_mlp(module: Mlp, x: Tensor) -> Tensor | None:
    """What :class:`Mlp` computes, or None where the kernel does not apply."""
    fc1, fc2, dtype = module.fc1, module.fc2, autocast_dtype(x)
    if not (eager_on_cpu(x) and untouched(fc1, module.act, fc2) and supports_gelu(len(fc1.weight), dtype)):
        return None
    if fc1.bias is None or fc2.bias is None:
        return None
    if x.shape[-1] != fc1.weight.shape[1] or fc2.weight.shape[1] != len(fc1.weight):
        return None
    with torch.autocast("cpu", enabled=False):
        return NativeMlp.apply(x.to(dtype), fc1.weight, fc1.bias, fc2.weight, fc2.bias)
