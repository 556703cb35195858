"""A picture without its content: what stands where something was taken away."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def blank(images: Tensor) -> Tensor:
    """``images`` (B, channels, H, W) blurred until objects are gone: a Gaussian of an eighth of the shorter side.

    Colours and light stay about where they were, so that a model is asked about fewer objects and not about grey squares.
    """
    return blurred(images, min(images.shape[-2:]) / 8, bounded=True)


def blurred(images: Tensor, deviation: float, bounded: bool = False) -> Tensor:
    """``images`` (..., H, W) under a Gaussian of ``deviation`` pixels. Outside there is nothing: ``bounded`` leaves it out of the
    mean, else it counts as zero."""
    for axis in (-2, -1):
        places = torch.arange(images.shape[axis], dtype=images.dtype, device=images.device)
        kernel = torch.exp(-((places[:, None] - places[None]) ** 2) / (2 * deviation**2))
        kernel = kernel / (kernel.sum(0) if bounded else deviation * math.sqrt(2 * math.pi))
        images = torch.movedim(torch.movedim(images, axis, -1) @ kernel, -1, axis)
    return images


def covered(images: Tensor, empty: Tensor, kept: Tensor, cell: int) -> Tensor:
    """``images`` (1, channels, H, W) where ``kept`` (T, rows, columns) is true, ``empty`` elsewhere: (T, channels, H, W)."""
    size = images.shape[-2:]
    mask = F.interpolate(kept[:, None].to(images.dtype), scale_factor=cell, mode="nearest")[..., : size[0], : size[1]]
    return images * mask + empty * (1 - mask)
