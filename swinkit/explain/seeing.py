"""What every explanation asks a model through hooks: its backbone, which tokens met in a block, what a norm gave out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..model.attention import WindowAttention
from ..model.backbone import SwinBackbone
from ..model.windows import Size, WindowGrid

Place = tuple[int, int]  # (stage, block) of a backbone, or (row, column) of a map


def backbone_of(model: nn.Module) -> SwinBackbone:
    """The Swin inside ``model``, whatever its task; raises :class:`UsageError` where there is none."""
    for module in model.modules():
        if isinstance(module, SwinBackbone):
            return module
    raise UsageError(f"Expected a model with a Swin backbone, got {type(model).__name__}, which has none")


def index_of(index: int, count: int, what: str) -> int:
    """``index`` of ``count`` things called ``what``, counted from the end if negative; raises :class:`UsageError` beyond."""
    if not -count <= index < count:
        raise UsageError(f"There is no {what} {index}: it has {count}, 0 to {count - 1}, or -1 for the last")
    return index % count


@dataclass(frozen=True)
class Meeting:
    """What came into the attention of one block: the map ``x`` (B, H, W, C) and the windows in which its tokens meet.

    ``kept`` (B, H, W) is how much of each token stayed as it was: the length of the residual stream over its length and that of
    what attention added, both less their mean over channels, which the next norm removes (Kobayashi et al., arXiv 2109.07152).
    """

    attention: WindowAttention
    x: Tensor
    grid: WindowGrid
    kept: Tensor

    @property
    def size(self) -> Size:
        return self.x.shape[1], self.x.shape[2]

    def rows(self) -> Tensor:
        """:func:`softmax_rows` of this meeting."""
        return softmax_rows(self.attention, self.x, self.grid)


@torch.no_grad()
def softmax_rows(attention: WindowAttention, x: Tensor, grid: WindowGrid) -> Tensor:
    """Who attends to whom on the map ``x`` (B, H, W, C), (B, nW, h, N, N): Swin, equation 4, or V2, equation 2, with the mask."""
    q, k, _, bias, scale = attention.operands(grid.split(x), grid.mask)
    return (scale * q @ k.transpose(-2, -1) + bias).softmax(dim=-1)


def row_entropy(rows: Tensor) -> Tensor:
    """Entropy of softmax rows (..., N, N) in bits, (..., N)."""
    return torch.special.entr(rows).sum(-1) / math.log(2)


def row_reach(rows: Tensor, window: Size) -> Tensor:
    """Mean distance to what softmax rows (..., N, N) of a ``window`` attend to, in tokens, (..., N)."""
    heights, widths = (torch.arange(side, device=rows.device) for side in window)
    seats = torch.cartesian_prod(heights, widths).to(rows.dtype)
    return (rows * torch.cdist(seats, seats)).sum(-1)


@contextmanager
def meetings(model: nn.Module) -> Iterator[Mapping[Place, Meeting]]:
    """Inside the context, a forward pass of ``model`` fills the mapping from (stage, block) to its :class:`Meeting`."""
    met: dict[Place, Meeting] = {}
    backbone: Any = backbone_of(model)
    handles = [
        handle
        for stage, part in enumerate(backbone.stages)
        for index, block in enumerate(part.blocks)
        for handle in _listen(met, (stage, index), block, backbone.config.version)
    ]
    try:
        yield met
    finally:
        for handle in handles:
            handle.remove()


def _listen(met: dict[Place, Meeting], place: Place, block: Any, version: int) -> list[torch.utils.hooks.RemovableHandle]:
    stream: list[Tensor] = []
    came: list[tuple[Tensor, WindowGrid]] = []

    def entered(_: nn.Module, inputs: tuple[Tensor, WindowGrid]) -> None:
        stream[:] = [inputs[0].detach()]

    def asked(_: nn.Module, inputs: tuple[Tensor, WindowGrid]) -> None:
        came[:] = [inputs]

    def added(_: nn.Module, __: object, branch: Tensor) -> None:
        (x, grid), (before,) = came[0], stream
        met[place] = Meeting(block.attention, x.detach(), grid, _share_of(before, branch.detach()))

    branch = block.attention if version == 1 else block.norm1  # the last layer before the sum: V2 norms after attention
    return [
        block.register_forward_pre_hook(entered),
        block.attention.register_forward_pre_hook(asked),
        branch.register_forward_hook(added),
    ]


def _share_of(stream: Tensor, branch: Tensor) -> Tensor:
    """(B, H, W): the length of ``stream`` in that of both, means over channels taken off."""
    kept, new = (torch.linalg.vector_norm(x - x.mean(-1, keepdim=True), dim=-1) for x in (stream, branch))
    return kept / (kept + new).clamp_min(torch.finfo(kept.dtype).tiny)


@contextmanager
def leaf_at(module: nn.Module) -> Iterator[list[Tensor]]:
    """Inside the context, what ``module`` gives out becomes a leaf from which gradients are taken; the list receives it.

    Run the model under ``torch.no_grad``: gradients are switched on behind ``module``, so that nothing before it costs memory.
    """
    leaves: list[Tensor] = []

    def hook(_: nn.Module, __: object, output: Tensor) -> Tensor:
        torch.set_grad_enabled(True)  # the surrounding no_grad puts it back
        leaves.append(output.detach().requires_grad_())
        return leaves[-1]

    handle = module.register_forward_hook(hook)
    try:
        yield leaves
    finally:
        handle.remove()


def upsampled(maps: Tensor, stride: int, size: Size) -> Tensor:
    """Maps (B, h, w) of tokens of ``stride`` pixels, bilinearly between token centres, on a model input of ``size``: (B, *size).

    Tokens cover the padded input, so the map is enlarged by the stride and cropped; stretching it to ``size`` would displace it.
    """
    full = maps.shape[-2] * stride, maps.shape[-1] * stride
    larger = F.interpolate(maps[:, None], full, mode="bilinear", align_corners=False)[:, 0]
    return larger[:, : size[0], : size[1]]
