"""Layer norm by a native kernel, with the residual sum that follows it in version 2."""

from __future__ import annotations

import ctypes
import functools

import torch
from torch import Tensor

from .build import DTYPES, library, pointer

EPS = 1e-5
MULTIPLE = 16  # of channels


@functools.cache
def kernel() -> tuple[ctypes.CDLL | None, str]:
    """The compiled kernel, or None, and why."""
    found, reason = library("layer_norm")
    if found is not None:
        found.layer_norm.argtypes = (
            ctypes.c_int, *[ctypes.c_void_p] * 4, ctypes.c_float, ctypes.c_int64, ctypes.c_int, ctypes.c_void_p, ctypes.c_int,
        )  # fmt: skip
        found.layer_norm.restype = None
    return found, reason


def layer_norm(
    x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, residual: Tensor | None = None, eps: float = EPS
) -> Tensor:
    """residual + LN(x) over the last axis of ``x`` (…, C), contiguous, float32 or bfloat16; ``weight`` and ``bias`` (C,) are float32."""
    out, width = torch.empty_like(x), x.shape[-1]
    kernel()[0].layer_norm(  # type: ignore[union-attr]
        DTYPES[x.dtype], *map(pointer, (x, weight, bias, residual)), eps, x.numel() // width, width, pointer(out),
        torch.get_num_threads(),
    )  # fmt: skip
    return out
