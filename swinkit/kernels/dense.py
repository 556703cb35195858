"""Linear layers for answering by a native kernel: weights packed once, GELU or the residual sum in the same pass."""

from __future__ import annotations

import ctypes
import functools

import torch
from torch import Tensor

from .build import DTYPES, library, pointer


@functools.cache
def kernel() -> tuple[ctypes.CDLL | None, str]:
    """The compiled kernel, or None, and why."""
    found, reason = library("dense")
    if found is not None:
        code, count, pointers = ctypes.c_int, ctypes.c_int64, ctypes.c_void_p
        found.dense_lanes.argtypes, found.dense_lanes.restype = (code,), code
        found.dense_vectors.argtypes, found.dense_vectors.restype = (), code
        found.dense_forward.argtypes = (code, *[pointers] * 4, code, count, count, count, pointers, code)
        found.dense_forward.restype = None
    return found, reason


def suits(weight: Tensor, dtype: torch.dtype) -> bool:
    """Whether the kernel computes with ``weight`` (out, in) in ``dtype`` here, and is not the slower way: what has AVX-512 and no AMX."""
    if dtype not in DTYPES or kernel()[0] is None or (dtype == torch.bfloat16 and torch.cpu._is_amx_tile_supported()):
        return False
    lanes = kernel()[0].dense_lanes(DTYPES[dtype])  # type: ignore[union-attr]
    return lanes > 0 and weight.shape[0] % lanes == 0 and weight.shape[1] % 2 == 0


def pack(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """``weight`` (out, in) in ``dtype``, flat, in the order in which the kernel reads it: panels of three vectors of outputs, the last one
    of what is left; in each, the inputs one after another, bfloat16 two at a time."""
    library = kernel()[0]
    width = library.dense_lanes(DTYPES[dtype]) * library.dense_vectors()  # type: ignore[union-attr]
    together = 2 if dtype == torch.bfloat16 else 1
    panels = weight.to(dtype).split(width)
    return torch.cat([panel.unflatten(1, (-1, together)).transpose(0, 1).flatten() for panel in panels])


def dense(
    x: Tensor, packed: Tensor, bias: Tensor | None, columns: int, gelu: bool = False, residual: Tensor | None = None
) -> Tensor:
    """x Wᵀ + b, GELU if asked, + residual: ``x`` (…, in), ``packed`` by :func:`pack` in the type of ``x``, ``bias`` (columns,) in float32,
    ``residual`` (…, columns) in the type of ``x``."""
    x, inner = x.contiguous(), x.shape[-1]
    residual = None if residual is None else residual.contiguous()
    out = x.new_empty(*x.shape[:-1], columns)
    kernel()[0].dense_forward(  # type: ignore[union-attr]
        DTYPES[x.dtype], *map(pointer, (x, packed, bias, residual)), gelu, x.numel() // inner, inner, columns, pointer(out),
        torch.get_num_threads(),
    )  # fmt: skip
    return out
