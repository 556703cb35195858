"""A folded stage whose layers, norms and attention are all the native kernels', run in one call."""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...kernels import stage as native
from ...kernels.attention import grid_of
from ...kernels.build import DTYPES, pointer
from ...kernels.norm import EPS
from ...model.windows import Size, counts_of
from ..folding import FoldedStage, PreNormBlock
from .remembering import memoised


class Settled(NamedTuple):
    """A stage for one size of its map: what the native code reads, what that points to, rows and columns that leave it."""

    stage: Any
    held: Any
    counts: Size


class WholeStage(nn.Module):
    """A :class:`FoldedStage` of the native kernels' parts; ``stage`` keeps the tensors that the native code points to."""

    def __init__(self, stage: FoldedStage, dtype: torch.dtype) -> None:
        super().__init__()
        self.stage = stage
        blocks: list[Any] = list(stage.blocks)
        merge: Any = stage.merge
        thirds = [index + 1 for index, block in enumerate(blocks) if third(block) is not None]
        self.blocks = (native.BlockArgs * len(blocks))(*map(_block, blocks))
        self.widest = max(layer.weight_shape[0] for block in blocks for layer in (block.attention.qkv, block.mlp.fc1))
        self.fields: dict[str, Any] = {
            "half": DTYPES[dtype], "pre_norm": isinstance(blocks[0], PreNormBlock), "third_norm_every": min(thirds, default=0),
            "eps": EPS, "width": blocks[0].attention.proj.weight_shape[0], "count": len(blocks),
            "blocks": ctypes.addressof(self.blocks), "merges": merge is not None,
        }  # fmt: skip
        if merge is not None:
            self.widest = max(self.widest, merge.reduction.weight_shape[1])
            self.fields |= {"reduction": _dense(merge.reduction), "merging": _norm(merge.norm)}
        self.settled: dict[tuple[Size], Settled] = {}

    def forward(self, x: Tensor, size: Size) -> tuple[Tensor, Size]:
        known: Settled = memoised(self.settled, (size,), self.settle)
        return native.run_stage(known.stage, x, size, self.widest), known.counts

    def settle(self, size: Size) -> Settled:
        counts = counts_of(size, (2, 2)) if self.fields["merges"] else size
        grids = [grid_of(counts, grid) for grid in self.stage.grids(counts)]
        return Settled(native.StageArgs(**self.fields, grids=(native.Grid * 2)(*(grid for grid, _ in grids))), grids, counts)


def third(block: Any) -> nn.Module | None:
    """The norm that follows some blocks of version 2, if it follows this one."""
    found = getattr(block, "norm3", None)
    return None if isinstance(found, nn.Identity) else found


def _block(block: Any) -> Any:
    norms = (block.norm, block.norm) if isinstance(block, PreNormBlock) else (block.norm1, block.norm2, third(block))
    attend = block.attention.attend
    return native.BlockArgs(
        *map(_dense, (block.attention.qkv, block.attention.proj, block.mlp.fc1, block.mlp.fc2)),
        native.AttentionArgs(
            *map(pointer, (attend.pad, attend.bias, attend.scale)), attend.heads, attend.bias.shape[2], attend.cosine
        ),
        (native.NormArgs * 3)(*map(_norm, norms)),
    )


def _dense(layer: Any) -> Any:
    columns, inner = layer.weight_shape
    return native.DenseArgs(pointer(layer.packed), pointer(layer.bias), inner, columns)


def _norm(norm: Any) -> Any:
    return native.NormArgs() if norm is None else native.NormArgs(pointer(norm.weight), pointer(norm.bias))
