"""Effective receptive field: which pixels a token of a stage really depends on, measured by gradients (Luo et al., arXiv 1701.04128)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .seeing import Place, backbone_of, index_of


def receptive_field(
    model: nn.Module, images: Tensor, stage: int = -1, position: Place | None = None, directions: int = 2, seed: int = 0
) -> Tensor:
    """How strongly the token at ``position`` (row, column; the middle by default) of ``stage`` depends on each pixel: (B, H, W).

    The squared gradient of the token along ``directions`` random directions of its channels, summed over colours; each map sums to 1.
    A pixel outside every window that leads to the token is exactly 0.
    """
    backbone = backbone_of(model)
    stage = index_of(stage, backbone.config.num_stages, "stage")
    pixels = images.detach().requires_grad_()
    with torch.enable_grad():
        x = backbone.embed(pixels)
        for part in backbone.stages[: stage + 1]:  # type: ignore[union-attr]
            x = part(x)
    row, column = position or (x.shape[1] // 2, x.shape[2] // 2)
    token = x[:, row, column]
    generator = torch.Generator().manual_seed(seed)
    energy = torch.zeros_like(images[:, 0])
    for left in reversed(range(directions)):
        direction = torch.randn(token.shape[1], generator=generator).to(token)
        (gradient,) = torch.autograd.grad((token @ direction).sum(), pixels, retain_graph=left > 0)
        energy = energy + gradient.square().sum(dim=1)
    return energy / energy.sum(dim=(1, 2), keepdim=True).clamp_min(torch.finfo(energy.dtype).tiny)


def field_side(energy: Tensor, share: float = 0.5) -> Tensor:
    """Side in pixels of the square, centred on the field's centre of mass, that holds ``share`` of it: (B,) for (B, H, W)."""
    height, width = energy.shape[1:]
    rows, columns = torch.arange(height).to(energy), torch.arange(width).to(energy)
    down = (energy.sum(2) * rows).sum(1).view(-1, 1, 1)
    across = (energy.sum(1) * columns).sum(1).view(-1, 1, 1)
    distance = torch.maximum((rows[None, :, None] - down).abs(), (columns[None, None] - across).abs()).flatten(1)
    order = distance.argsort(dim=1)
    held = energy.flatten(1).gather(1, order).cumsum(1)
    first = (held < share).sum(1).clamp_max(height * width - 1)
    return 2 * distance.gather(1, order).gather(1, first[:, None])[:, 0] + 1
