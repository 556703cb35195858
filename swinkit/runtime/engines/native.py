"""Folded layers, norms and window attention by the native kernels: the fastest exact way on a processor.

Layers that the kernel does not suit go through oneDNN with weights packed once. Where there is no compiler attention and norms are
torch's, and what oneDNN does not pack is torch's too; the answers stay the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...devices import dtype_of, onednn_packs
from ...kernels import attention as attentions
from ...kernels import dense as layers
from ...kernels import norm as norms
from ...kernels import stage as stages
from ...kernels.build import DTYPES
from ...kernels.memory import keep_freed_memory
from ...model.attention import attend, l2_normalise
from ...model.windows import MASKED, Size, WindowGrid
from ..folding import Affine, Attention, Folded, FoldedStage, Parts, cut_by_reshape
from .native_stage import WholeStage
from .remembering import memoised


class PlainDense(nn.Module):
    """An :class:`Affine` by torch."""

    def __init__(self, affine: Affine, dtype: torch.dtype) -> None:
        super().__init__()
        self.gelu = affine.gelu
        self.register_buffer("weight", affine.weight.detach().to(dtype).contiguous())
        self.register_buffer("bias", None if affine.bias is None else affine.bias.detach().to(dtype).contiguous())

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        x = F.linear(x, self.weight, self.bias)  # type: ignore[arg-type]
        x = F.gelu(x) if self.gelu else x
        return x if residual is None else x + residual


class PackedDense(nn.Module):
    """An :class:`Affine` by oneDNN: weights reordered for the processor, GELU and the residual sum in the epilogue."""

    def __init__(self, affine: Affine, dtype: torch.dtype, rows: int) -> None:
        super().__init__()
        weight = affine.weight.detach().to(dtype).contiguous()
        self.packed = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
        self.bias = None if affine.bias is None else affine.bias.detach().to(dtype).contiguous()
        self.epilogue: tuple[str, list[float], str] = ("gelu", [], "none") if affine.gelu else ("none", [], "")

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        if residual is not None:
            return torch.ops.mkldnn._linear_pointwise.binary(x, residual, self.packed, self.bias, "add")
        return torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, *self.epilogue)


class KernelDense(nn.Module):
    """An :class:`Affine` by the native kernel, weights packed for it, GELU and the residual sum in the same pass."""

    def __init__(self, affine: Affine, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight_shape, self.gelu = tuple(affine.weight.shape), affine.gelu
        self.packed = layers.pack(affine.weight, dtype)
        self.bias = None if affine.bias is None else affine.bias.detach().to(dtype).float()

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        return layers.dense(x, self.packed, self.bias, self.weight_shape[0], self.gelu, residual)


class PlainNorm(nn.Module):
    """A layer norm by torch."""

    def __init__(self, source: nn.LayerNorm | None, dtype: torch.dtype) -> None:
        super().__init__()
        self.affine = None if source is None else (source.weight.detach().to(dtype), source.bias.detach().to(dtype))

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        x = F.layer_norm(x, x.shape[-1:], *(self.affine or ()))
        return x if residual is None else x + residual


class KernelNorm(nn.Module):
    """A layer norm by the native kernel."""

    def __init__(self, source: nn.LayerNorm | None) -> None:
        super().__init__()
        self.weight = None if source is None else source.weight.detach().float()
        self.bias = None if source is None else source.bias.detach().float()

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        return norms.layer_norm(x, self.weight, self.bias, residual)


class KernelAttention(nn.Module):
    """An :class:`Attention` by the native kernel, which reads tokens where they are."""

    def __init__(self, parts: Attention, dtype: torch.dtype) -> None:
        super().__init__()
        self.heads, self.cosine = parts.heads, parts.cosine
        self.bias = attentions.pad_bias(parts.bias.detach())
        self.scale = parts.scale.detach().float().contiguous()
        self.pad = parts.pad.detach().to(dtype).contiguous()

    def forward(self, qkv: Tensor, size: Size, grid: WindowGrid) -> Tensor:
        maps = qkv.view(qkv.shape[0], *size, qkv.shape[2])
        out = qkv.new_empty(qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3)
        plan = attentions.AttentionPlan(grid, self.heads, self.cosine)
        attentions.call("attention_forward", plan, (maps, self.pad, self.bias, self.scale), (out,))
        return out


def spelled_out(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """As :func:`attend`, in five axes throughout: OpenVINO's fusion of scaled_dot_product_attention mistakes windows folded into another."""
    return torch.softmax(q @ k.transpose(-2, -1) + bias, dim=-1) @ v


class GatheredAttention(nn.Module):
    """An :class:`Attention` by torch: one gather into windows, ``mix``, one gather back.

    What depends on the size of the map is computed at the first call for it, so that a tracer finds constants at the second. The sum
    of bias and mask is left to each call, or to a compiler: kept, it would hold as much for each size as attention itself needs.
    """

    def __init__(self, parts: Attention, dtype: torch.dtype, mix: Callable[..., Tensor] = attend) -> None:
        super().__init__()
        self.heads, self.cosine, self.mix = parts.heads, parts.cosine, mix
        self.bias = parts.bias.detach().to(dtype)
        self.scale = parts.scale.detach().to(dtype)
        self.pad = parts.pad.detach().to(dtype)
        self.constants: dict[tuple[Size, WindowGrid], Constants] = {}

    def forward(self, qkv: Tensor, size: Size, grid: WindowGrid) -> Tensor:
        known: Constants = memoised(self.constants, (size, grid), self.settle)
        batch, _, triple = qkv.shape
        if known.padded:
            qkv = torch.cat((qkv, self.pad.expand(batch, 1, triple)), dim=1)
        windows = qkv.index_select(1, known.into).view(
            batch, math.prod(grid.counts), math.prod(grid.window), 3, self.heads, triple // 3 // self.heads
        )
        q, k, v = windows.permute(3, 0, 1, 4, 2, 5).unbind(0)
        if self.cosine:
            q, k = l2_normalise(q.float()).to(q.dtype) * self.scale[:, None, None], l2_normalise(k.float()).to(k.dtype)
        bias = self.bias  # (h, N, N), or (nW, h, N, N)
        if known.apart is not None:
            bias = bias + known.apart.to(bias.dtype) * MASKED
        out = self.mix(q, k, v, bias)
        out = out.transpose(2, 3).flatten(3).flatten(1, 2)
        return out.index_select(1, known.back)

    def settle(self, size: Size, grid: WindowGrid) -> Constants:
        table = attentions.meeting(size, grid.window, grid.counts, grid.shift)
        length, rows = math.prod(size), table.rows.flatten().long()
        into = torch.where(rows < 0, length, rows)
        apart = (table.region[:, :, None] != table.region[:, None, :])[:, None] if any(grid.shift) else None
        return Constants(into, torch.argsort(into)[:length], apart, bool((rows < 0).any()))


class Constants(NamedTuple):
    """Of one size: rows of the map (and one more, of padding) in the order of windows, and back; which tokens of a window do not meet,
    bool (nW, 1, N, N), or None where all do; whether it pads."""

    into: Tensor
    back: Tensor
    apart: Tensor | None
    padded: bool


def parts(precision: str, rows: int, embed_dim: int, own: bool = True) -> Parts:
    """How this engine computes on this machine; ``rows`` is how many tokens a layer will mostly see, ``embed_dim`` what all widths are
    multiples of, ``own`` whether linear layers are for the kernel where it applies."""
    dtype = dtype_of(precision)
    packs = onednn_packs(dtype)

    def layer(affine: Affine) -> nn.Module:
        if own and layers.supports_linear(affine.weight, dtype):
            return KernelDense(affine, dtype)
        return PackedDense(affine, dtype, rows) if packs else PlainDense(affine, dtype)

    def attention(source: Attention) -> nn.Module:
        native = attentions.supports_attention(source.pad.shape[0] // 3 // source.heads, source.bias.shape[-1], dtype)
        return KernelAttention(source, dtype) if native else GatheredAttention(source, dtype)

    def norm(source: nn.LayerNorm | None) -> nn.Module:
        return KernelNorm(source) if norms.supports_norm(embed_dim, dtype) else PlainNorm(source, dtype)

    def stage(source: FoldedStage) -> nn.Module:
        computing = [part for part in source.modules() if not (isinstance(part, nn.Identity) or list(part.children()))]
        native = all(isinstance(part, KernelDense | KernelNorm | KernelAttention) for part in computing)
        return WholeStage(source, dtype) if native and stages.KERNEL.available else source

    patches = stages.cut_into_patches if dtype in DTYPES and stages.KERNEL.available else cut_by_reshape
    return Parts(layer, attention, norm, dtype, stage, patches)


def build(model: Any, precision: str, shape: tuple[int, ...], own: bool = True) -> Any:
    """A callable from pictures to (logits, pooled) for pictures of any size; ``shape`` is the usual one, ``own`` as in :func:`parts`."""
    keep_freed_memory()
    rows = shape[0] * math.prod(model.config.grid(0))
    return Folded(model, parts(precision, rows, model.config.embed_dim, own)).eval()
