"""Which tokens meet: padding, cyclic shift, window partition and the shift mask (Swin, section 3.2 and figure 4).

Shapes: B batch, H and W token rows and columns, C channels, N = window height x width, nW windows of one map.
Everything here is a pure function of sizes read from the tensors, so that one traced graph serves every size.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

MASKED = -100.0  # added to logits across the wrap; finite, because the published weights were trained with this value

Size = tuple[int, int]


def pad_to_multiple(x: Tensor, unit: Size) -> Tensor:
    """Zero-pad a map (B, H, W, C) at the bottom and right until its sides divide by ``unit``."""
    return F.pad(x, (0, 0, 0, -x.shape[2] % unit[1], 0, -x.shape[1] % unit[0]))


def window_partition(x: Tensor, window: Size) -> Tensor:
    """Cut a map (B, H, W, C) whose sides divide by ``window`` into windows (B, nW, N, C), both in row-major order."""
    batch, height, width, channels = x.shape
    rows, columns = window
    x = x.view(batch, height // rows, rows, width // columns, columns, channels)
    return x.transpose(2, 3).reshape(batch, (height // rows) * (width // columns), rows * columns, channels)


def window_reverse(windows: Tensor, window: Size, size: Size) -> Tensor:
    """Put windows (B, nW, N, C) back into the map (B, *size, C): the inverse of :func:`window_partition`."""
    batch, _, _, channels = windows.shape
    (rows, columns), (height, width) = window, size
    x = windows.view(batch, height // rows, width // columns, rows, columns, channels)
    return x.transpose(2, 3).reshape(batch, height, width, channels)


def shift_size(size: Size, window: Size, always: bool) -> Size:
    """How far a shifted block moves its windows: half a window, per axis (section 3.2, "shifted window partitioning").

    ``size`` is the padded map. An axis that one window covers is not shifted, unless ``always`` (dense geometry).
    The product instead of a condition keeps a traced graph free of a branch on the size.
    """

    def along(side: int, extent: int) -> int:
        half = extent // 2
        return half if always else half * torch.sym_min(1, side // extent - 1)  # type: ignore[return-value]  # SymInt while traced

    return along(size[0], window[0]), along(size[1], window[1])


def shift_mask(size: Size, window: Size, shift: Size, like: Tensor) -> Tensor:
    """Mask (nW, N, N) for a cyclically shifted map: 0 between neighbours, -100 across the wrap (figure 4).

    Two tokens of a window are neighbours when both or neither were wrapped around, along each axis. Two regions per axis
    are enough where the published code numbers three, since the border of the last window separates the other two.
    ``like`` gives device and dtype.
    """

    def wrapped(side: int, by: int) -> Tensor:
        return torch.arange(side, device=like.device) >= side - by

    region = 2 * wrapped(size[0], shift[0])[:, None] + wrapped(size[1], shift[1])[None, :].long()
    region = window_partition(region[None, :, :, None], window)[0, :, :, 0]
    apart = region[:, :, None] != region[:, None, :]
    return apart.to(like.dtype) * MASKED


class WindowGrid(NamedTuple):
    """How one block cuts a map: computed once per stage and handed to its blocks.

    ``mask`` (nW, N, N) is absent in blocks that do not shift.
    """

    window: Size
    shift: Size = (0, 0)
    mask: Tensor | None = None

    @classmethod
    def shifted(cls, x: Tensor, window: Size, always: bool) -> WindowGrid:
        """The grid of a shifted block for a map (B, H, W, C) of any size."""
        size = x.shape[1] + -x.shape[1] % window[0], x.shape[2] + -x.shape[2] % window[1]
        shift = shift_size(size, window, always)
        return cls(window, shift, shift_mask(size, window, shift, x))

    def split(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to windows (B, nW, N, C): pad, then roll, then cut.

        Padding comes before the roll so that the mask separates opposite edges; the other order lets them attend.
        """
        x = pad_to_multiple(x, self.window)
        if self.mask is not None:
            x = torch.roll(x, (-self.shift[0], -self.shift[1]), (1, 2))
        return window_partition(x, self.window)

    def join(self, windows: Tensor, size: Size) -> Tensor:
        """Windows (B, nW, N, C) to the map (B, *size, C): the inverse of :meth:`split`, padding cropped."""
        (rows, columns), (height, width) = self.window, size
        x = window_reverse(windows, self.window, (height + -height % rows, width + -width % columns))
        if self.mask is not None:
            x = torch.roll(x, self.shift, (1, 2))
        return x[:, :height, :width]
