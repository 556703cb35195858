"""Linear layers by a native kernel: weights packed into the order in which it reads them, GELU or the residual sum in the same pass."""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..model.attention import Linear
from .build import DTYPES, autocast_dtype, library, pointer
from .build import suits as applies


@functools.cache
def kernel() -> tuple[ctypes.CDLL | None, str]:
    """The compiled kernel, or None, and why."""
    found, reason = library("dense")
    if found is not None:
        code, count, pointers = ctypes.c_int, ctypes.c_int64, ctypes.c_void_p
        found.dense_lanes.argtypes, found.dense_lanes.restype = (code,), code
        found.dense_pack.argtypes = (code, pointers, count, count, code, pointers, code)
        found.dense_forward.argtypes = (code, *[pointers] * 4, code, count, count, count, pointers, pointers, code)
        found.dense_backward.argtypes = (code, *[pointers] * 3, count, count, count, pointers, pointers, code)
        found.dense_pack.restype = found.dense_forward.restype = found.dense_backward.restype = None
    return found, reason


def suits(weight: Tensor, dtype: torch.dtype) -> bool:
    """Whether the kernel computes with ``weight`` (out, in) in ``dtype`` here, and is not the slower way: what has AVX-512 and no AMX."""
    lanes = _lanes(dtype)
    return lanes > 0 and weight.shape[0] % lanes == 0 and weight.shape[1] % 2 == 0


@functools.cache
def _lanes(dtype: torch.dtype) -> int:
    if dtype not in DTYPES or kernel()[0] is None or (dtype == torch.bfloat16 and torch.cpu._is_amx_tile_supported()):
        return 0
    return int(kernel()[0].dense_lanes(DTYPES[dtype]))  # type: ignore[union-attr]


def pack(weight: Tensor, dtype: torch.dtype, transposed: bool = False) -> Tensor:
    """``weight`` (out, in), or, if ``transposed``, (in, out), in ``dtype``, flat, in the order in which the kernel reads it: panels of
    three vectors of outputs, the last one of what is left; in each, the inputs one after another, bfloat16 two at a time."""
    weight = weight.detach().float().contiguous()
    packed = weight.new_empty(weight.numel(), dtype=dtype)
    outputs, inputs = reversed(weight.shape) if transposed else weight.shape
    kernel()[0].dense_pack(  # type: ignore[union-attr]
        DTYPES[dtype], pointer(weight), outputs, inputs, transposed, pointer(packed), torch.get_num_threads()
    )
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
    kernel()[0].dense_forward(  # type: ignore[union-attr]
        DTYPES[x.dtype], *map(pointer, (x, packed, bias, residual)), gelu, x.numel() // inner, inner, columns, pointer(out),
        pointer(before), torch.get_num_threads(),
    )  # fmt: skip
    return out


def dense_backward(gradient: Tensor, packed: Tensor, entered: Tensor) -> tuple[Tensor, Tensor]:
    """From ``gradient`` (rows, in) of gelu(x) Wᵀ back to that of x, with x (rows, columns) ``entered`` and W ``packed`` transposed: the
    gradient, and gelu(x)."""
    gradient, (rows, columns) = gradient.contiguous(), entered.shape
    out, activated = torch.empty_like(entered), torch.empty_like(entered)
    kernel()[0].dense_backward(  # type: ignore[union-attr]
        DTYPES[gradient.dtype], *map(pointer, (gradient, packed, entered)), rows, gradient.shape[1], columns,
        *map(pointer, (out, activated)), torch.get_num_threads(),
    )  # fmt: skip
    return out, activated


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x Wᵀ + b in the type of ``x``, whatever that of ``weight`` (out, in): weights that change are packed anew each time."""
    if suits(weight, x.dtype):
        return dense(x, pack(weight, x.dtype), None if bias is None else bias.float().contiguous(), weight.shape[0])
    return F.linear(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype))


def linear_backward(gradient: Tensor, weight: Tensor) -> Tensor:
    """The gradient of ``x`` from that of :func:`linear`, (…, out)."""
    if suits(weight.t(), gradient.dtype):
        return dense(gradient, pack(weight, gradient.dtype, transposed=True), None, weight.shape[1])
    return gradient @ weight.to(gradient.dtype)


@functools.cache
def weights_kernel() -> tuple[ctypes.CDLL | None, str]:
    """The compiled kernel of :func:`weight_gradient`, or None, and why."""
    found, reason = library("weight_gradient")
    if found is not None:
        code, count, pointers = ctypes.c_int, ctypes.c_int64, ctypes.c_void_p
        found.weight_gradient.argtypes = (code, pointers, pointers, count, count, count, pointers, pointers, code)
        found.weight_gradient.restype = None
    return found, reason


def weight_gradient(gradient: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """From ``gradient`` (rows, out) of :func:`linear` and its ``x`` (rows, in) the gradients of weights (out, in) and bias (out,), float32."""
    (rows, outputs), inputs = gradient.shape, x.shape[1]
    lanes, native = _lanes(x.dtype), weights_kernel()[0]
    if native is None or not lanes or not rows or outputs % lanes or inputs % lanes:
        return (gradient.t() @ x).float(), gradient.sum(0, dtype=torch.float32)
    gradient, x = gradient.contiguous(), x.contiguous()
    out, sums = (x.new_empty(shape, dtype=torch.float32) for shape in ((outputs, inputs), (outputs,)))
    native.weight_gradient(
        DTYPES[x.dtype],
        *map(pointer, (gradient, x)),
        rows,
        outputs,
        inputs,
        *map(pointer, (out, sums)),
        torch.get_num_threads(),
    )
    return out, sums


class NativeLinear(torch.autograd.Function):
    """:func:`linear` for training; keeps the weights themselves, not what they were rounded to."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.bias_type = None if bias is None else bias.dtype
        return linear(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        x, weight = ctx.saved_tensors
        out = gradients[0].contiguous()
        into_weight, into_bias = weight_gradient(out.flatten(0, -2), x.flatten(0, -2))
        bias = None if ctx.bias_type is None else into_bias.to(ctx.bias_type)
        return linear_backward(out, weight), into_weight.to(weight.dtype), bias


def native_linear(module: Linear, x: Tensor) -> Tensor | None:
    """What :class:`~swinkit.model.attention.Linear` computes, or None where the kernel does not apply."""
    dtype = autocast_dtype(x)
    if not applies(x) or not suits(module.weight, dtype):
        return None
    with torch.autocast("cpu", enabled=False):
        return NativeLinear.apply(x.to(dtype), module.weight, module.bias)
