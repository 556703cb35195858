"""Between a picture and the model's input: where preprocessing put each pixel, and how a map comes back to the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..model.windows import Size
from ..preprocessing import Preprocessing

Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class Frame:
    """A ``picture`` of (height, width) was scaled to ``resized``, of which the model sees ``size`` from (``top``, ``left``) on.

    Pixel centres lie at whole numbers plus a half, so that scaling moves corners to corners.
    """

    picture: Size
    resized: Size
    size: Size
    top: int
    left: int

    @classmethod
    def of(cls, preprocessing: Preprocessing, height: int, width: int) -> Frame:
        """What ``preprocessing`` does to a picture of ``height`` x ``width``."""
        top, left, rows, columns = preprocessing.cropped(height, width)
        return cls((height, width), preprocessing.resized(height, width), (rows, columns), top, left)

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of the model's input per pixel of the picture, (down, across)."""
        return self.resized[0] / self.picture[0], self.resized[1] / self.picture[1]

    @property
    def seen(self) -> Box:
        """The part of the picture that the model sees, in the picture's pixels."""
        return self.box_of((0, 0, self.size[1], self.size[0]))

    def input_of(self, x: float, y: float) -> tuple[int, int] | None:
        """(row, column) of the input pixel that shows the picture's pixel ``x``, ``y``; None where preprocessing cut it off."""
        row = math.floor((y + 0.5) * self.scale[0]) - self.top
        column = math.floor((x + 0.5) * self.scale[1]) - self.left
        return (row, column) if 0 <= row < self.size[0] and 0 <= column < self.size[1] else None

    def box_of(self, box: Box) -> Box:
        """A box in the model's input as one in the picture."""
        left, top, right, bottom = box
        down, across = self.scale
        return (left + self.left) / across, (top + self.top) / down, (right + self.left) / across, (bottom + self.top) / down

    def to_picture(self, maps: Tensor, shown: Size | None = None, smooth: bool = True) -> Tensor:
        """Maps (B, *size) on the model's input as maps (B, *shown) on the whole picture; NaN where the model saw nothing.

        ``shown`` is the size at which the whole picture is drawn, its own by default. ``smooth`` is bilinear, else nearest.
        """
        height, width = shown or self.picture
        down = (torch.arange(height, device=maps.device) + 0.5) * (self.resized[0] / height) - self.top
        across = (torch.arange(width, device=maps.device) + 0.5) * (self.resized[1] / width) - self.left
        at = torch.stack(torch.meshgrid(2 * down / self.size[0] - 1, 2 * across / self.size[1] - 1, indexing="ij")[::-1], -1)
        mode = "bilinear" if smooth else "nearest"
        at = at.to(maps.dtype).expand(len(maps), *at.shape)
        sampled = F.grid_sample(maps[:, None], at, mode=mode, padding_mode="border", align_corners=False)[:, 0]
        outside = ((down < 0) | (down >= self.size[0]))[:, None] | ((across < 0) | (across >= self.size[1]))[None]
        return sampled.masked_fill(outside, torch.nan)
