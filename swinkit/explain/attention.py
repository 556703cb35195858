"""Attention as the model computes it: softmax rows by window, and put back to the places of the map, across the cyclic wrap."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..model.windows import Size, WindowGrid, token_places
from .seeing import Meeting, Place, backbone_of, index_of, meetings, row_entropy, row_reach


@dataclass(frozen=True)
class Attention:
    """Attention of one block.

    ``rows`` (B, nW, h, N, N) are the softmax rows of each window, query by key. ``places`` (nW, N) says which token of the map
    of ``size`` each seat holds, -1 for padding. ``stride`` is the side of a token in pixels of the model's input.
    """

    rows: Tensor = field(repr=False)
    places: Tensor = field(repr=False)
    grid: WindowGrid = field(repr=False)
    size: Size
    stage: int
    block: int
    stride: int

    @property
    def shifted(self) -> bool:
        return any(self.grid.shift)

    def seat(self, row: int, column: int) -> tuple[int, int]:
        """(window, seat) of the token at ``row``, ``column`` of the map."""
        self._check(row, column)
        window, seat = (self.places == row * self.size[1] + column).nonzero()[0].tolist()
        return window, seat

    def of_token(self, row: int, column: int) -> Tensor:
        """Whom the token attends to, at their places on the map: (B, h, H, W). Other windows are 0.

        A row sums to 1 less what goes to padding tokens, which lie outside the map.
        """
        window, seat = self.seat(row, column)
        return self._placed(self.rows[:, window, :, seat], window)

    def partners(self, row: int, column: int) -> Tensor:
        """The token's true window: (H, W) bool, those on the map that it can attend to, the mask considered."""
        window, seat = self.seat(row, column)
        mask = self.grid.mask
        open_to = torch.ones_like(self.places[window]) if mask is None else (mask[window, seat] == 0).long()
        return self._placed(open_to, window).bool()

    def padding_share(self) -> float:
        """How much attention of the map's tokens goes to padding, on average."""
        real = self.places >= 0
        queries = self.rows.transpose(2, 3)[:, real]  # (B, tokens, h, N)
        windows = real.nonzero()[:, 0]
        return float((queries * ~real[windows][None, :, None]).sum(-1).mean())

    def entropy(self) -> Tensor:
        """Entropy of the rows of each head, (h,), in bits, averaged over the map's tokens."""
        return self._over_tokens(row_entropy(self.rows))

    def reach(self) -> Tensor:
        """Mean distance to what is attended to, (h,), in tokens, averaged over the map's tokens."""
        return self._over_tokens(row_reach(self.rows, self.grid.window))

    def _over_tokens(self, values: Tensor) -> Tensor:
        """(B, nW, h, N) to (h,): the mean over pictures and real tokens."""
        return values.transpose(2, 3)[:, self.places >= 0].mean(dim=(0, 1))

    def _placed(self, values: Tensor, window: int) -> Tensor:
        """Values (..., N) of one window's seats on the map, (..., H, W)."""
        places = self.places[window]
        real = places >= 0
        flat = values.new_zeros(*values.shape[:-1], self.size[0] * self.size[1])
        flat[..., places[real]] = values[..., real]
        return flat.unflatten(-1, self.size)

    def _check(self, row: int, column: int) -> None:
        if not (0 <= row < self.size[0] and 0 <= column < self.size[1]):
            raise UsageError(f"There is no token at row {row}, column {column}: the map of this stage has {self.size}")


def attention_in(model: nn.Module, met: Meeting, place: Place) -> Attention:
    """The :class:`Attention` of what met at ``place``, (stage, block)."""
    stride = backbone_of(model).config.strides[place[0]]
    return Attention(met.rows(), token_places(met.grid, met.size, met.x.device), met.grid, met.size, *place, stride)


@torch.no_grad()
def attention_of(model: nn.Module, images: Tensor, stage: int = -1, block: int = -1) -> Attention:
    """Attention of one block over ``images`` (B, channels, H, W), as the model's forward pass computes it.

    ``stage`` and ``block`` count from 0, or from the end if negative; the blocks of odd number shift. Raises :class:`UsageError`.
    """
    depths = backbone_of(model).config.depths
    stage = index_of(stage, len(depths), "stage")
    place = stage, index_of(block, depths[stage], f"block in stage {stage}")
    with meetings(model) as met:
        model(images)
    return attention_in(model, met[place], place)
