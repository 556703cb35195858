"""A picture without its content: what stands where something was taken away."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def blank(images: Tensor) -> Tensor:
    """``images`` (B, channels, H, W) blurred until objects are gone: a Gaussian of an eighth of the shorter side.

    Colours and light stay about where they were, so that a model is asked about fewer objects and not about grey squares.
    """
    height, width = images.shape[-2:]
    deviation = min(height, width) / 8
    for side, axis in ((height, 2), (width, 3)):
        places = torch.arange(side, dtype=images.dtype, device=images.device)
        kernel = torch.exp(-((places[:, None] - places[None]) ** 2) / (2 * deviation**2))
        images = torch.movedim(torch.movedim(images, axis, -1) @ (kernel / kernel.sum(0)), -1, axis)
    return images


def covered(images: Tensor, empty: Tensor, kept: Tensor, cell: int) -> Tensor:
    """``images`` (1, channels, H, W) where ``kept`` (T, rows, columns) is true, ``empty`` elsewhere: (T, channels, H, W)."""
    size = images.shape[-2:]
    mask = F.interpolate(kept[:, None].to(images.dtype), scale_factor=cell, mode="nearest")[..., : size[0], : size[1]]
    return images * mask + empty * (1 - mask)
