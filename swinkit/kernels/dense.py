"""Linear layers by a native kernel: weights packed into the order in which it reads them, GELU or the residual sum in the same pass."""

from __future__ import annotations

import functools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..model.attention import Linear
from .build import CODE, COUNT, DTYPES, POINTER, Kernel, pointer
from .derivative import first_derivative
from .dispatch import autocast_dtype, eager_on_cpu

KERNEL = Kernel(
    "dense",
    dense_lanes=(CODE, CODE),
    dense_pack=(None, CODE, POINTER, COUNT, COUNT, CODE, POINTER, CODE),
    dense_forward=(None, CODE, *[POINTER] * 4, CODE, COUNT, COUNT, COUNT, POINTER, POINTER, CODE),
    dense_backward=(None, CODE, *[POINTER] * 3, COUNT, COUNT, COUNT, POINTER, POINTER, CODE),
)
WEIGHTS_KERNEL = Kernel(
    "weight_gradient", weight_gradient=(None, CODE, POINTER, POINTER, COUNT, COUNT, COUNT, POINTER, POINTER, CODE)
)


def supports_linear(weight: Tensor, dtype: torch.dtype) -> bool:
    """Whether the kernel computes with ``weight`` (out, in) in ``dtype`` here, and is not the slower way: in float32 with AVX2 or
    AVX-512, in bfloat16 where AVX-512 multiplies it and AMX does not."""
    across = lanes(dtype)
    return across > 0 and weight.shape[0] % across == 0 and weight.shape[1] % 2 == 0


@functools.cache
def lanes(dtype: torch.dtype) -> int:
    """Outputs of a vector, of which the kernel computes whole ones in ``dtype``; 0 where it does not serve this processor."""
    if dtype not in DTYPES or not KERNEL.available or (dtype == torch.bfloat16 and torch.cpu._is_amx_tile_supported()):
        return 0
    return int(KERNEL.dense_lanes(DTYPES[dtype]))


def pack(weight: Tensor, dtype: torch.dtype, transposed: bool = False) -> Tensor:
    """``weight`` (out, in), or, if ``transposed``, (in, out), in ``dtype``, flat, in the order in which the kernel reads it: panels of
    three vectors of outputs, the last ones of what is left, none of one alone; in each, the inputs one after another, bfloat16 two at a
    time."""
    weight = weight.detach().float().contiguous()
    packed = weight.new_empty(weight.numel(), dtype=dtype)
    outputs, inputs = reversed(weight.shape) if transposed else weight.shape
    KERNEL.dense_pack(DTYPES[dtype], pointer(weight), outputs, inputs, transposed, pointer(packed), torch.get_num_threads())
    return packed


def dense(
    x: Tensor, packed: Tensor, bias: Tensor | None, columns: int, gelu: bool = False, residual: Tensor | None = None,
    before: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """x Wᵀ + b, GELU if asked, + residual: ``x`` (…, in), ``packed`` by :func:`pack` in the type of ``x``, ``bias`` (columns,) in float32,
    ``residual`` (…, columns) in the type of ``x``; ``before``, like the answer, receives what enters the GELU."""
    x, inner = x.contiguous(), x.shape[-1]
    residual = None if residual is None else residual.contiguous()
    out = x.new_empty(*x.shape[:-1], columns)
    KERNEL.dense_forward(
        DTYPES[x.dtype], *map(pointer, (x, packed, bias, residual)), gelu, x.numel() // inner, inner, columns, pointer(out),
        pointer(before), torch.get_num_threads(),
    )  # fmt: skip
    return out


def dense_backward(gradient: Tensor, packed: Tensor, entered: Tensor) -> tuple[Tensor, Tensor]:
    """From ``gradient`` (rows, in) of gelu(x) Wᵀ back to that of x, with x (rows, columns) ``entered`` and W ``packed`` transposed: the
    gradient, and gelu(x)."""
    gradient, (rows, columns) = gradient.contiguous(), entered.shape
    out, activated = torch.empty_like(entered), torch.empty_like(entered)
    KERNEL.dense_backward(
        DTYPES[gradient.dtype], *map(pointer, (gradient, packed, entered)), rows, gradient.shape[1], columns,
        *map(pointer, (out, activated)), torch.get_num_threads(),
    )  # fmt: skip
    return out, activated


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x Wᵀ + b in the type of ``x``, whatever that of ``weight`` (out, in): weights that change are packed anew each time."""
    if supports_linear(weight, x.dtype):
        return dense(x, pack(weight, x.dtype), None if bias is None else bias.float().contiguous(), weight.shape[0])
    return F.linear(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype))


def linear_backward(gradient: Tensor, weight: Tensor) -> Tensor:
    """The gradient of ``x`` from that of :func:`linear`, (…, out)."""
    if supports_linear(weight.t(), gradient.dtype):
        return dense(gradient, pack(weight, gradient.dtype, transposed=True), None, weight.shape[1])
    return gradient @ weight.to(gradient.dtype)


def weight_gradient(gradient: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """From ``gradient`` (rows, out) of :func:`linear` and its ``x`` (rows, in) the gradients of weights (out, in) and bias (out,), float32."""
    (rows, outputs), inputs = gradient.shape, x.shape[1]
    across = lanes(x.dtype)
    if not WEIGHTS_KERNEL.available or not across or not rows or outputs % across or inputs % across:
        return (gradient.t() @ x).float(), gradient.sum(0, dtype=torch.float32)
    gradient, x = gradient.contiguous(), x.contiguous()
    out, sums = (x.new_empty(shape, dtype=torch.float32) for shape in ((outputs, inputs), (outputs,)))
    WEIGHTS_KERNEL.weight_gradient(
        DTYPES[x.dtype],
        pointer(gradient),
        pointer(x),
        rows,
        outputs,
        inputs,
        pointer(out),
        pointer(sums),
        torch.get_num_threads(),
    )
    return out, sums


def learned(gradient: Tensor, x: Tensor, needed: bool, dtype: torch.dtype) -> tuple[Tensor, Tensor] | tuple[None, None]:
    """:func:`weight_gradient` in ``dtype``, the type of the weights, or nothing where these are frozen."""
    if not needed:
        return None, None
    weight, bias = weight_gradient(gradient, x)
    return weight.to(dtype), bias.to(dtype)


class NativeLinear(torch.autograd.Function):
    """:func:`linear` for training; keeps the weights themselves, not what they were rounded to."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.biased = bias is not None
        return linear(x, weight, bias)

    @staticmethod
    @first_derivative
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        out, needed = gradients[0].contiguous(), ctx.needs_input_grad
        grad_weight, grad_bias = learned(out.flatten(0, -2), x.flatten(0, -2), needed[1] or needed[2], weight.dtype)
        return linear_backward(out, weight) if needed[0] else None, grad_weight, grad_bias if ctx.biased else None


def native_linear(module: Linear, x: Tensor) -> Tensor | None:
    """What :class:`~swinkit.model.attention.Linear` computes, or None where the kernel does not apply."""
    dtype = autocast_dtype(x)
    if x.shape[-1] != module.weight.shape[1] or not eager_on_cpu(x) or not supports_linear(module.weight, dtype):
        return None
    with torch.autocast("cpu", enabled=False):
        return NativeLinear.apply(x.to(dtype), module.weight, module.bias)
