"""A stage of the inference form by one call of native code, which calls the kernels in their order; and pictures cut into patches."""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import torch
from torch import Tensor

from ..model.windows import Size, WindowGrid, counts_of
from . import attention, dense, norm
from .attention import meeting
from .build import DTYPES, library, pointer


def _structure(name: str, **fields: Any) -> type[ctypes.Structure]:
    return type(name, (ctypes.Structure,), {"_fields_": tuple(fields.items())})


_P, _I, _L = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
# as declared in the kernel's source
Kernels = _structure("Kernels", dense=_P, attention=_P, norm=_P)
Dense = _structure("Dense", weights=_P, bias=_P, inner=_L, columns=_L)
Norm = _structure("Norm", weight=_P, bias=_P)
Attention = _structure("Attention", pad=_P, bias=_P, scale=_P, heads=_I, padded=_I, cosine=_I)
Grid = _structure("Grid", index=_P, region=_P, mixed=_P, windows=_L, window=_I)
Block = _structure("Block", qkv=Dense, proj=Dense, fc1=Dense, fc2=Dense, attention=Attention, norms=Norm * 3)
Stage = _structure(
    "Stage", half=_I, pre_norm=_I, third_norm_every=_I, merges=_I, eps=ctypes.c_float, width=_L, reduction=Dense, merging=Norm,
    count=_L, blocks=_P, grids=Grid * 2,
)  # fmt: skip


@functools.cache
def kernel() -> tuple[ctypes.CDLL | None, str]:
    """The compiled code, or None, and why."""
    found, reason = library("stage")
    if found is not None:
        found.stage_forward.argtypes = (_P, _P, _L, _L, _L, *[_P] * 5, _I)
        found.cut_into_patches.argtypes = (_I, _P, _L, _L, _L, _L, _L, _P, _I)
        found.stage_forward.restype = found.cut_into_patches.restype = None
    return found, reason


@functools.cache
def kernels() -> Any:
    """Where the kernels begin that a stage calls."""
    listed = (dense.kernel()[0].dense_forward, attention.kernel()[0].attention_forward, norm.kernel()[0].norm_forward)  # type: ignore[union-attr]
    return Kernels(*(ctypes.cast(function, _P) for function in listed))


def grid_of(size: Size, grid: WindowGrid) -> tuple[Any, Any]:
    """``grid`` on a map of ``size``, and the tables that it points to."""
    table, masked = meeting(size, grid.window, grid.counts, grid.shift), any(grid.shift)
    shifted = (table.region, table.mixed) if masked else (None, None)
    return Grid(*map(pointer, (table.rows, *shifted)), *table.rows.shape), table


def run_stage(stage: Any, x: Tensor, size: Size, widest: int) -> Tensor:
    """Tokens (B, L, C) after all blocks of ``stage``, a :data:`Stage`, from ``x`` of a map of ``size`` rows and columns: this stage's own,
    which is overwritten, or, if it merges, that of the stage before. ``widest`` is the most channels that a layer within has."""
    x, width = x.contiguous(), stage.width
    rows, columns = counts_of(size, (2, 2)) if stage.merges else size
    narrow, other, wide = (x.new_empty(x.shape[0], rows * columns, channels) for channels in (width, width, widest))
    out = x.new_empty(narrow.shape) if stage.merges else x
    kernel()[0].stage_forward(  # type: ignore[union-attr]
        ctypes.byref(kernels()), ctypes.byref(stage), x.shape[0], *size, *map(pointer, (x, out, narrow, other, wide)),
        torch.get_num_threads(),
    )  # fmt: skip
    return out


def cut_into_patches(images: Tensor, side: int, dtype: torch.dtype) -> Tensor:
    """(B, channels, H, W) to (B, L, channels · side²) of ``dtype``, each patch channel by channel, zeros beyond the picture."""
    images = images.float().contiguous()
    batch, channels, height, width = images.shape
    rows, columns = counts_of((height, width), (side, side))
    out = images.new_empty(batch, rows * columns, channels * side**2, dtype=dtype)
    kernel()[0].cut_into_patches(  # type: ignore[union-attr]
        DTYPES[dtype], pointer(images), batch, channels, height, width, side, pointer(out), torch.get_num_threads()
    )
    return out
