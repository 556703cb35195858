"""Attention rollout along windows: whose patches reach the pooled answer, block by block from the last to the first.

Abnar and Zuidema (arXiv 2005.00928): a block passes one part through its residual and one through its attention, heads averaged.
They take half of each; here it is measured, token by token (:class:`~swinkit.explain.seeing.Meeting`), since attention adds far less.
A Swin's attention is block-diagonal, so a distribution over tokens goes back window by window, through the true shifted windows,
and through patch merging to the four tokens that were merged. It knows of no class, no values and no MLP: a map of where
information can come from, weighted; not a reason.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .seeing import Meeting, Place, backbone_of, meetings, upsampled


@torch.no_grad()
def rollout(model: nn.Module, images: Tensor, start: Tensor | None = None) -> Tensor:
    """Share of each pixel's patch in what reaches the last map, (B, H, W); it sums to 1 over the first stage's tokens.

    ``start`` (B, h, w) is how the tokens of the last map count; all alike by default, as global average pooling has it.
    """
    config = backbone_of(model).config
    with meetings(model) as met:
        model(images)
    size = met[config.num_stages - 1, 0].size
    share = traced_back(met, images.new_ones(len(images), *size) if start is None else start)
    share = share / share.sum(dim=(1, 2), keepdim=True)
    return upsampled(share, config.strides[0], (images.shape[2], images.shape[3]))


def traced_back(met: Mapping[Place, Meeting], share: Tensor) -> Tensor:
    """What lies on the tokens of a stage's map, (B, h, w), laid on the tokens of the first map that it came from; linear.

    ``met`` are the meetings of one forward pass; the stage is the one whose map has the size of ``share``.
    """
    stages = 1 + max(stage for stage, _ in met)
    last = max(stage for stage in range(stages) if met[stage, 0].size == tuple(share.shape[1:]))
    for stage in reversed(range(last + 1)):
        for block in reversed(range(sum(place[0] == stage for place in met))):
            share = passed_back(met[stage, block], share)
        if stage:
            share = unmerged(share, met[stage - 1, 0].size)
    return share


def passed_back(met: Meeting, share: Tensor) -> Tensor:
    """How ``share`` (B, H, W) of a block's outputs falls on its inputs: what was kept stays, the rest follows the attention.

    What went to padding is lost.
    """
    windows = met.grid.split((share * (1 - met.kept))[..., None])  # (B, nW, N, 1)
    rows = met.rows().mean(dim=2)  # (B, nW, N, N)
    return share * met.kept + met.grid.join(rows.transpose(-2, -1) @ windows, met.size)[..., 0]


def unmerged(share: Tensor, size: tuple[int, int]) -> Tensor:
    """A distribution over merged tokens, spread alike over the four of each that exist on the map of ``size`` before merging."""
    larger = F.interpolate(share[:, None], scale_factor=2, mode="nearest")[:, 0, : size[0], : size[1]]
    kept = F.avg_pool2d(torch.ones_like(larger)[:, None], 2, ceil_mode=True, divisor_override=1)  # 4, less at an odd edge
    return larger / F.interpolate(kept, scale_factor=2, mode="nearest")[:, 0, : size[0], : size[1]]
