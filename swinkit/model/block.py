"""The Swin transformer block: two residual branches whose norm stands before (V1) or after (V2) the layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..config import SwinConfig
from .attention import DotProduct, FastPath, ScaledCosine, WindowAttention, attempted
from .position_bias import MlpBias, TableBias
from .windows import WindowGrid


def pre_norm(norm: nn.Module, layer: nn.Module, drop: nn.Module, x: Tensor, *rest: Any) -> Tensor:
    """x + layer(LN(x)) (Swin, equation 3)."""
    return x + drop(layer(norm(x), *rest))


def post_norm(norm: nn.Module, layer: nn.Module, drop: nn.Module, x: Tensor, *rest: Any) -> Tensor:
    """x + LN(layer(x)), res-post-norm (V2, section 3.2 and figure 1)."""
    return x + drop(norm(layer(x, *rest)))


class LayerNorm(nn.LayerNorm):
    """The norm of each token by itself over its channels."""

    fast_path: FastPath | None = None

    def forward(self, x: Tensor) -> Tensor:
        y = attempted(self.fast_path, self, x)
        return super().forward(x) if y is None else y


class Mlp(nn.Module):
    """Two linear layers with GELU between, on each token by itself (Swin, section 3.1)."""

    fast_path: FastPath | None = None

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        y = attempted(self.fast_path, self, x)
        return self.fc2(self.act(self.fc1(x))) if y is None else y


class DropPath(nn.Module):
    """Stochastic depth: in training, drop a sample's whole branch with probability ``rate`` (Huang et al., 1603.09382)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        factors = self.factors(x)
        return x if factors is None else x * factors

    def factors(self, x: Tensor) -> Tensor | None:
        """What each sample of ``x`` is multiplied by, drawn anew, (B, 1, …); None where nothing is dropped."""
        if not self.training or self.rate == 0:
            return None
        keep = 1 - self.rate
        return torch.empty(x.shape[0], *(1,) * (x.ndim - 1), dtype=x.dtype, device=x.device).bernoulli_(keep) / keep

    def extra_repr(self) -> str:
        return f"rate={self.rate:.3f}"


class Block(nn.Module):
    """One block of ``stage`` (Swin, figure 3b and equation 3; V2, figure 1). ``fast_path`` is one of both branches, ``branch_fast_path`` of each."""

    fast_path: FastPath | None = None
    branch_fast_path: FastPath | None = None

    def __init__(self, config: SwinConfig, stage: int, index: int) -> None:
        super().__init__()
        width, heads, window = config.widths[stage], config.num_heads[stage], config.stage_window(stage)
        v1 = config.version == 1
        similarity = DotProduct() if v1 else ScaledCosine(heads)
        bias = TableBias(window, heads) if v1 else MlpBias(window, heads, config.pretrained_window(stage))
        extra = bool(config.extra_norm_every) and (index + 1) % config.extra_norm_every == 0

        self.branch = pre_norm if v1 else post_norm
        self.norm1 = LayerNorm(width)
        self.attention = WindowAttention(
            heads, width, similarity, bias, qkv_bias=config.qkv_bias, key_bias=v1, chunk=config.attention_chunk
        )
        self.norm2 = LayerNorm(width)
        self.mlp = Mlp(width, config.hidden_widths[stage])
        self.drop_path = DropPath(config.drop_path_rates(stage)[index])
        self.norm3 = LayerNorm(width) if extra else nn.Identity()  # keeps the main branch of V2-H and V2-G tame

    def forward(self, x: Tensor, grid: WindowGrid) -> Tensor:
        y = attempted(self.fast_path, self, x, grid)
        return self.norm3(self.branches(x, grid) if y is None else y)

    def branches(self, x: Tensor, grid: WindowGrid) -> Tensor:
        x = self.residual(self.norm1, self.attention, x, grid)
        return self.residual(self.norm2, self.mlp, x)

    def residual(self, norm: LayerNorm, layer: nn.Module, x: Tensor, *rest: Any) -> Tensor:
        y = attempted(self.branch_fast_path, self, norm, layer, x, *rest)
        return self.branch(norm, layer, self.drop_path, x, *rest) if y is None else y
