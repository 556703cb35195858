"""One attention layer by itself, among all tokens of a map or in windows: what the paper's formulas are compared with."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..model.attention import DotProduct, WindowAttention
from ..model.position_bias import TableBias
from ..model.windows import WindowGrid
from .models import PLAIN
from .process import Subject
from .subjects import Inputs, run_plainly

WIDTH, HEADS, WINDOW, STRIDE = 384, 12, 7, 16  # of Swin-T's third stage; DeiT-S has the same width and stride


class GlobalAttention(nn.Module):
    """Multi-head self-attention among all tokens of a map (B, H, W, C), as in a Vision Transformer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, rows, columns, width = x.shape
        qkv = self.qkv(x).view(batch, rows * columns, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        out = F.scaled_dot_product_attention(q, k, v)
        return self.proj(out.transpose(1, 2).reshape(x.shape))


class WindowedAttention(nn.Module):
    """swinkit's attention in windows that are not shifted, on maps (B, H, W, C)."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.window = window, window
        bias = TableBias(self.window, heads)
        self.attention = WindowAttention(heads, width, DotProduct(), bias, qkv_bias=True, key_bias=True)
        bias.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, WindowGrid.regular(x, self.window))


def layer(kind: str, size: tuple[int, int], precision: str) -> Subject:
    """One attention layer, ``kind`` "MSA" or "W-MSA", on the map that Swin-T's third stage has of pictures of ``size`` pixels."""
    torch.manual_seed(0)
    module: Any = GlobalAttention(WIDTH, HEADS) if kind == "MSA" else WindowedAttention(WIDTH, HEADS, WINDOW)
    run = run_plainly(module.eval(), precision)
    maps = Inputs((1, size[0] // STRIDE, size[1] // STRIDE, WIDTH))
    return Subject(lambda index: run(maps(index)), {"engine": PLAIN, "precision": precision})
