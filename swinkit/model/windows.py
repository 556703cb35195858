"""Which tokens meet: padding, cyclic shift, window partition and the shift mask (Swin, section 3.2 and figure 4).

Shapes: B batch, H and W token rows and columns, C channels, N = window height x width, nW windows of one map.
Everything here is a pure function of sizes read from the tensors, so that one traced graph serves every size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

MASKED = -100.0  # added to logits across the wrap; finite, because the published weights were trained with this value

Size = tuple[int, int]


def counts_of(size: Sequence[int], unit: Size) -> Size:
    """How many units it takes to cover ``size``, per axis."""
    height, width = traceable_sides(size)
    return (height + unit[0] - 1) // unit[0], (width + unit[1] - 1) // unit[1]


def traceable_sides(size: Sequence[int]) -> Sequence[int]:
    """``size`` to compute with: constants for torch.jit.trace, and for torch.onnx.export without dynamo, which trace one size alone."""
    return [int(side) for side in size] if torch.jit.is_tracing() else size


def traced() -> bool:
    """Whether a graph is being recorded: in one for every size, a question about a size would become a branch, and recompile it."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def pad_to(x: Tensor, counts: Size, unit: Size) -> Tensor:
    """Zero-pad a map (B, H, W, C) at the bottom and right to ``counts`` units; ``x`` itself where it fills them."""
    height, width = traceable_sides(x.shape[1:3])
    if torch.jit.is_tracing():
        # what was recorded refuses other sizes, which it would crop or mix up
        x = x.expand(-1, height, width, -1)
    below, right = counts[0] * unit[0] - height, counts[1] * unit[1] - width
    if not traced() and below == right == 0:
        return x  # F.pad would copy it
    return F.pad(x, (0, 0, 0, right, 0, below))


def contiguous(x: Tensor) -> Tensor:
    """``x`` in row-major order, copied only where it is not. Whether it is depends on whether some count is 1, so that a traced
    graph always copies."""
    return x.clone(memory_format=torch.contiguous_format) if traced() else x.contiguous()


def window_partition(x: Tensor, window: Size, counts: Size) -> Tensor:
    """Cut a map (B, H, W, C) of ``counts`` whole windows into windows (B, nW, N, C), both in row-major order."""
    batch, channels = x.shape[0], x.shape[3]
    x = x.view(batch, counts[0], window[0], counts[1], window[1], channels)
    return contiguous(x.transpose(2, 3)).view(batch, counts[0] * counts[1], window[0] * window[1], channels)


def window_reverse(windows: Tensor, window: Size, counts: Size) -> Tensor:
    """Put windows (B, nW, N, C) back into a map (B, H, W, C): the inverse of :func:`window_partition`. Channels may still lie in heads,
    (B, nW, N, h, d), in whatever order attention left them: one copy puts both right."""
    batch, channels = windows.shape[0], windows.shape[3:]
    x = windows.view(batch, counts[0], counts[1], window[0], window[1], *channels)
    return contiguous(x.transpose(2, 3)).view(batch, counts[0] * window[0], counts[1] * window[1], math.prod(channels))


def shift_size(window: Size, counts: Size, always: bool) -> Size:
    """How far a shifted block moves its windows: half a window, per axis (section 3.2, "shifted window partitioning").

    An axis that one window covers is not shifted, unless ``always`` (dense geometry). The product instead of a condition
    keeps a traced graph free of a branch on the size.
    """

    def along(extent: int, count: int) -> int:
        half = extent // 2
        return half if always else half * torch.sym_min(1, count - 1)  # type: ignore[return-value]  # SymInt while traced

    return along(window[0], counts[0]), along(window[1], counts[1])


def shift_regions(window: Size, counts: Size, shift: Size, device: torch.device | str) -> Tensor:
    """Which side of the wrap each token of a cyclically shifted map came from, (nW, N), int64 in 0..3 (figure 4).

    Two regions per axis are enough where the published code numbers three, since the border of the last window separates
    the other two.
    """

    def wrapped(side: int, by: int) -> Tensor:
        return torch.arange(side, device=device) >= side - by

    rows, columns = wrapped(counts[0] * window[0], shift[0]), wrapped(counts[1] * window[1], shift[1])
    region = 2 * rows[:, None] + columns[None, :].long()
    return window_partition(region[None, :, :, None], window, counts)[0, :, :, 0]


def shift_mask(window: Size, counts: Size, shift: Size, like: Tensor) -> Tensor:
    """Mask (nW, N, N) for a cyclically shifted map: 0 between tokens of one region, -100 across the wrap (figure 4).

    ``like`` gives device and dtype.
    """
    region = shift_regions(window, counts, shift, like.device)
    apart = region[:, :, None] != region[:, None, :]
    return apart.to(like.dtype) * MASKED


class WindowGrid(NamedTuple):
    """How one block cuts a map into ``counts`` windows: computed once per stage and handed to its blocks.

    Counts are kept, and sides are products of them, because a tracer multiplies sizes easily and divides them slowly.
    ``mask`` (nW, N, N) is absent in blocks that do not shift. ``cyclic`` says whether the map is rolled by ``shift``: a shift
    may be a symbol, and asking whether it is 0 would be a branch of the graph.
    """

    window: Size
    counts: Size
    shift: Size = (0, 0)
    mask: Tensor | None = None
    cyclic: bool = False

    @classmethod
    def regular(cls, x: Tensor, window: Size) -> WindowGrid:
        """The grid of an unshifted block for a map (B, H, W, C) of any size."""
        return cls(window, counts_of(x.shape[1:3], window))

    def shifted(self, x: Tensor, always: bool) -> WindowGrid:
        """The same grid for a shifted block; see :func:`shift_size`."""
        shift = shift_size(self.window, self.counts, always)
        return self._replace(shift=shift, mask=shift_mask(self.window, self.counts, shift, x), cyclic=True)

    def split(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to windows (B, nW, N, C): pad, then roll, then cut.

        Padding comes before the roll so that the mask separates opposite edges; the other order lets them attend.
        """
        x = pad_to(x, self.counts, self.window)
        if self.cyclic:
            x = torch.roll(x, (-self.shift[0], -self.shift[1]), (1, 2))
        return window_partition(x, self.window, self.counts)

    def join(self, windows: Tensor, size: Size) -> Tensor:
        """Windows (B, nW, N, C), or (B, nW, N, h, d), to the map (B, *size, C): the inverse of :meth:`split`, padding cropped."""
        x = window_reverse(windows, self.window, self.counts)
        if self.cyclic:
            x = torch.roll(x, self.shift, (1, 2))
        return contiguous(x[:, : size[0], : size[1]])  # row-major again where the crop took something away


def token_places(grid: WindowGrid, size: Size, device: torch.device | str | None = None) -> Tensor:
    """Which token of a map of ``size`` sits where: (nW, N) int64, its row-major index, or -1 for padding.

    The grid's own :meth:`~WindowGrid.split` moves the indices, so that padding, roll and cut are those of the model.
    """
    numbers = torch.arange(1, size[0] * size[1] + 1, device=device).view(1, *size, 1)
    return grid.split(numbers)[0, :, :, 0] - 1
