"""A picture without its content: what stands where something was taken away."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def blank(images: Tensor) -> Tensor:
    """``images`` (B, channels, H, W) blurred until objects are gone: a Gaussian of an eighth of the shorter side.

    Colours and light stay about where they were, so that a model is asked about fewer objects and not about grey squares.
    """
    return blurred(images, min(images.shape[-2:]) / 8)


def blurred(images: Tensor, deviation: float, shared_out: bool = False) -> Tensor:
    """``images`` (..., H, W) under a Gaussian of ``deviation`` pixels, within the picture.

    Each place is the weighted mean of what lies around it. ``shared_out`` instead shares what lies at each place out among those
    around it, so that the sum stays; near the border fewer give to a place.
    """
    for axis in (-2, -1):
        places = torch.arange(images.shape[axis], dtype=images.dtype, device=images.device)
        kernel = torch.exp(-((places[:, None] - places[None]) ** 2) / (2 * deviation**2))
        kernel = kernel / kernel.sum(1 if shared_out else 0, keepdim=True)
        images = torch.movedim(torch.movedim(images, axis, -1) @ kernel, -1, axis)
    return images


def covered(images: Tensor, empty: Tensor, kept: Tensor, cell: int) -> Tensor:
    """``images`` (1, channels, H, W) where ``kept`` (T, rows, columns) is true, ``empty`` elsewhere: (T, channels, H, W)."""
    size = images.shape[-2:]
    mask = F.interpolate(kept[:, None].to(images.dtype), scale_factor=cell, mode="nearest")[..., : size[0], : size[1]]
    return images * mask + empty * (1 - mask)
