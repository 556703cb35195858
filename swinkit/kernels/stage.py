"""A stage of the inference form by one call of native code, which calls the kernels in their order; and pictures cut into patches."""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import torch
from torch import Tensor

from ..model.windows import Size, counts_of
from . import attention, dense, norm
from .attention import Grid
from .build import CODE, COUNT, DTYPES, POINTER, Kernel, pointer, structure

# as declared in the kernel's source
Kernels = structure("Kernels", dense=POINTER, attention=POINTER, norm=POINTER)
DenseArgs = structure("Dense", weights=POINTER, bias=POINTER, inner=COUNT, columns=COUNT)
NormArgs = structure("Norm", weight=POINTER, bias=POINTER)
AttentionArgs = structure("Attention", pad=POINTER, bias=POINTER, scale=POINTER, heads=CODE, padded=CODE, cosine=CODE)
BlockArgs = structure(
    "Block", qkv=DenseArgs, proj=DenseArgs, fc1=DenseArgs, fc2=DenseArgs, attention=AttentionArgs, norms=NormArgs * 3
)
StageArgs = structure(
    "Stage", half=CODE, pre_norm=CODE, third_norm_every=CODE, merges=CODE, eps=ctypes.c_float, width=COUNT, reduction=DenseArgs,
    merging=NormArgs, count=COUNT, blocks=POINTER, grids=Grid * 2,
)  # fmt: skip


KERNEL = Kernel(
    "stage",
    stage_forward=(None, POINTER, POINTER, COUNT, COUNT, COUNT, *[POINTER] * 5, CODE),
    cut_into_patches=(None, CODE, POINTER, *[COUNT] * 5, POINTER, CODE),
)


@functools.cache
def kernels() -> Any:
    """Where the kernels begin that a stage calls."""
    listed = (dense.KERNEL.dense_forward, attention.KERNEL.attention_forward, norm.KERNEL.norm_forward)
    return Kernels(*(ctypes.cast(function, POINTER) for function in listed))


def run_stage(stage: Any, x: Tensor, size: Size, widest: int) -> Tensor:
    """Tokens (B, L, C) after all blocks of ``stage``, a :data:`StageArgs`, from ``x`` of a map of ``size`` rows and columns: this stage's
    own, which is overwritten, or, if it merges, that of the stage before. ``widest`` is the most channels that a layer within has."""
    x, width = x.contiguous(), stage.width
    rows, columns = counts_of(size, (2, 2)) if stage.merges else size
    narrow, other, wide = (x.new_empty(x.shape[0], rows * columns, channels) for channels in (width, width, widest))
    out = x.new_empty(narrow.shape) if stage.merges else x
    KERNEL.stage_forward(
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
    KERNEL.cut_into_patches(
        DTYPES[dtype], pointer(images), batch, channels, height, width, side, pointer(out), torch.get_num_threads()
    )
    return out
