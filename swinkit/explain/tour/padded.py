"""The shifted windows without the cyclic trick: pad the map until displaced windows cover it (Swin, section 3.2, figure 4).

It is the reference for what the roll and its mask must compute, and the slower way that the paper measures against: a map of a x b
windows becomes one of (a+1) x (b+1).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ...model.windows import Size, WindowGrid, pad_to, window_partition, window_reverse


class PaddedGrid(NamedTuple):
    """A :class:`~swinkit.model.windows.WindowGrid` of more, partly empty windows; the model's own attention runs on it.

    ``counts`` are the windows that are computed; ``mask`` (nW, N, N) hides the tokens that are only there to fill them.
    """

    window: Size
    counts: Size
    shift: Size
    mask: Tensor | None = None

    @classmethod
    def of(cls, grid: WindowGrid, like: Tensor) -> PaddedGrid:
        """The padded way of a shifted ``grid``; ``like`` gives device and dtype."""
        extra = [1 if by else 0 for by in grid.shift]
        counts = grid.counts[0] + extra[0], grid.counts[1] + extra[1]
        bare = cls(grid.window, counts, grid.shift)
        sides = [count * side for count, side in zip(grid.counts, grid.window, strict=True)]
        real = bare._displace(torch.ones(1, *sides, 1, dtype=torch.bool, device=like.device))
        keys = window_partition(real, grid.window, counts)[0, :, None, :, 0]
        hidden = torch.zeros(keys.shape, dtype=like.dtype, device=like.device).masked_fill(~keys, float("-inf"))
        tokens = grid.window[0] * grid.window[1]
        return bare._replace(mask=hidden.expand(-1, tokens, -1))

    def _displace(self, x: Tensor) -> Tensor:
        """Fill up (B, H, W, C) before its first and behind its last row and column, so that windows start at the shift."""
        before = [(side - by) % side for side, by in zip(self.window, self.shift, strict=True)]
        return F.pad(x, (0, 0, before[1], self.shift[1], before[0], self.shift[0]))

    def split(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to windows (B, nW, N, C). What the model itself pads, at the bottom and right, stays attended."""
        own = self.counts[0] - bool(self.shift[0]), self.counts[1] - bool(self.shift[1])
        return window_partition(self._displace(pad_to(x, own, self.window)), self.window, self.counts)

    def join(self, windows: Tensor, size: Size) -> Tensor:
        """Windows (B, nW, N, C) to the map (B, *size, C)."""
        x = window_reverse(windows, self.window, self.counts)
        top, left = ((side - by) % side for side, by in zip(self.window, self.shift, strict=True))
        return x[:, top : top + size[0], left : left + size[1]].contiguous()
