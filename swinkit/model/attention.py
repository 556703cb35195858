"""Window attention of both versions: they differ in the similarity and in the position bias, both handed in.

Shapes: B batch, H and W rows and columns of the map, C channels, nW windows, N tokens per window, h heads, d = C / h.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .position_bias import MlpBias, TableBias
from .windows import WindowGrid


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, scale: float = 1.0) -> Tensor:
    """softmax(``scale`` q kᵀ + bias) v inside each window (Swin, equation 4).

    q, k, v: (B, nW, h, N, d), and so is the answer; bias (h, N, N), or (nW, h, N, N) with a mask. torch's fused kernels take four axes: windows are a batch to
    them, which copies neither queries, keys nor values.
    """
    bias = bias[None] if bias.ndim == 3 else bias.expand(q.shape[0], -1, -1, -1, -1).flatten(0, 1)
    out = F.scaled_dot_product_attention(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), attn_mask=bias, scale=scale)
    return out.view(q.shape)


class DotProduct(nn.Module):
    """Similarity of version 1: q·k / √d (Swin, equation 4). The factor is left to :func:`attend`, which spares a pass over the queries."""

    def forward(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor, float]:
        """What to multiply of queries and keys, and by what their products."""
        return q, k, q.shape[-1] ** -0.5


def l2_normalise(x: Tensor) -> Tensor:
    """x / |x| along the last axis; a zero vector, which padding produces, stays zero.

    Its divisor is 1 instead of the customary 1e-12, whose reciprocal overflows half precision in the backward pass.
    """
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / length.masked_fill(length == 0, 1)


class ScaledCosine(nn.Module):
    """Similarity of version 2: cos(q, k) times a learned scale per head of at most 100 (V2, section 3.2, equation 2).

    ``logit_scale`` holds the logarithm, (h, 1, 1). Lengths are taken in float32 at least, since half precision would lose
    or overflow the squares.
    """

    MAXIMUM = math.log(100)

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.logit_scale = nn.Parameter(torch.empty(heads, 1, 1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.constant_(self.logit_scale, math.log(10))

    def scale(self, dtype: torch.dtype) -> Tensor:
        """What cosines are multiplied by, (h, 1, 1)."""
        return self.logit_scale.to(dtype).clamp(max=self.MAXIMUM).exp()

    def forward(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor, float]:
        """As :meth:`DotProduct.forward`; a scale per head is none that :func:`attend` takes, so that the queries have it."""
        wide = torch.promote_types(q.dtype, torch.float32)
        return (l2_normalise(q.to(wide)) * self.scale(wide)).to(q.dtype), l2_normalise(k.to(wide)).to(k.dtype), 1.0


# Computes what the module, its first argument, would of the others, faster; None where it does not apply. Whoever knows of one for the
# machine hands it over (:func:`swinkit.kernels.accelerate.accelerate`).
FastPath = Callable[..., Tensor | None]


def attempted(fast: FastPath | None, *arguments: Any) -> Tensor | None:
    """What ``fast`` computes of ``arguments``, the module first; None where there is none or it does not apply."""
    return None if fast is None else fast(*arguments)


class Linear(nn.Linear):
    """A linear layer of each token by itself."""

    fast_path: FastPath | None = None

    def forward(self, x: Tensor) -> Tensor:
        y = attempted(self.fast_path, self, x)
        return super().forward(x) if y is None else y


class WindowAttention(nn.Module):
    """(Shifted) window multi-head self-attention, (S)W-MSA (Swin, section 3.2).

    In version 2 (``key_bias=False``) keys carry no bias, as published. ``fast_path`` is one of :meth:`mix`.
    """

    fast_path: FastPath | None = None

    def __init__(
        self, heads: int, width: int, similarity: nn.Module, bias: TableBias | MlpBias, *, qkv_bias: bool, key_bias: bool,
        chunk: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.heads = heads
        self.chunk = chunk  # windows that attend at once; 0 is all
        self.qkv = nn.Linear(width, 3 * width, bias=qkv_bias and key_bias)
        self.proj = Linear(width, width)
        self.similarity = similarity
        self.bias = bias
        separate = qkv_bias and not key_bias
        self.q_bias = nn.Parameter(torch.zeros(width)) if separate else None
        self.v_bias = nn.Parameter(torch.zeros(width)) if separate else None

    def projection_bias(self) -> Tensor | None:
        """Bias of the joint projection to queries, keys and values, (3C,)."""
        if self.q_bias is None or self.v_bias is None:
            return self.qkv.bias
        return torch.cat((self.q_bias, torch.zeros_like(self.q_bias), self.v_bias))

    def project(self, windows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of windows (B, nW, N, C), each (B, nW, h, N, d). The layer itself is called, so that hooks and
        adapters at it work; version 2's biases come after it."""
        batch, count, tokens, width = windows.shape
        qkv = self.qkv(windows)
        separate = self.projection_bias() if self.q_bias is not None else None
        if separate is not None:
            qkv = qkv + separate.to(qkv.dtype)
        qkv = qkv.view(batch, count, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(3, 0, 1, 4, 2, 5).unbind(0)
        return q, k, v

    def forward(self, x: Tensor, grid: WindowGrid) -> Tensor:
        """Map (B, H, W, C) to a map of the same shape; tokens meet as ``grid`` says."""
        mixed = attempted(self.fast_path, self, x, grid)
        return self.proj(self.mix(x, grid) if mixed is None else mixed)

    def mix(self, x: Tensor, grid: WindowGrid) -> Tensor:
        """What each token gathers from those it meets, before the last projection: map to map, (B, H, W, C)."""
        windows = grid.split(x)
        if not self.chunk:
            return grid.join(self.within(windows, grid.mask), (x.shape[1], x.shape[2]))
        parts = windows.split(self.chunk, dim=1)
        masks = [None] * len(parts) if grid.mask is None else grid.mask.split(self.chunk)
        done = [checkpoint(self.within, *part, use_reentrant=False) for part in zip(parts, masks, strict=True)]
        return grid.join(torch.cat(done, dim=1), (x.shape[1], x.shape[2]))

    def within(self, windows: Tensor, mask: Tensor | None) -> Tensor:
        """Attention inside each of ``windows`` (B, nW, N, C), (B, nW, N, h, d); ``mask`` (nW, N, N) parts what was wrapped around."""
        return attend(*self.operands(windows, mask)).transpose(2, 3)

    def operands(self, windows: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor, float]:
        """What :func:`attend` takes of ``windows`` (B, nW, N, C): queries, keys, values, bias with ``mask`` (nW, N, N), and scale."""
        q, k, v = self.project(windows)
        q, k, scale = self.similarity(q, k)
        bias = self.bias().to(q.dtype)
        return q, k, v, bias if mask is None else bias + mask[:, None].to(q.dtype), scale
