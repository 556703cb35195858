"""Relative position bias: a learned table (Swin, section 3.2, equation 4) or log-CPB (Swin V2, section 3.3).

Both are modules of one signature, ``() -> (heads, N, N)`` with N tokens per window. Their indices and coordinates follow
from the window alone, so they are buffers that are not saved. On the meta device they are left without values: computed there, torch
would import its symbolic machinery for them, which takes seconds, and computed elsewhere they would take memory for nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import CPB_HIDDEN
from ..errors import UsageError
from ..machine import available_memory
from .windows import Size


def relative_position_index(window: Size) -> Tensor:
    """Row of the bias table for each pair of tokens, (N, N), int64.

    Row (dy + height - 1) * (2 * width - 1) + dx + width - 1, where (dy, dx) is query minus key (section 3.2).
    """
    rows, columns = torch.meshgrid(*(torch.arange(side, device="cpu") for side in window), indexing="ij")
    rows, columns = rows.flatten(), columns.flatten()
    dy = rows[:, None] - rows[None, :] + window[0] - 1
    dx = columns[:, None] - columns[None, :] + window[1] - 1
    return dy * (2 * window[1] - 1) + dx


def log_spaced_coordinates(window: Size, pretrained: Size, dtype: torch.dtype = torch.float32) -> Tensor:
    """Log-spaced relative coordinates, ((2h-1)(2w-1), 2) (V2, equation 4, in the units of the published code).

    Offsets are divided by the reach of the ``pretrained`` window, so that a larger window extrapolates, scaled to 8 and
    mapped by sign(x) log2(1 + |x|) / log2(8). A side of one patch has only the offset 0.
    """
    axes = [torch.arange(1 - side, side, dtype=dtype, device="cpu") for side in window]
    axes = [axis * 8 / max(1, reach - 1) for axis, reach in zip(axes, pretrained, strict=True)]
    coordinates = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, 1)
    return coordinates.sign() * torch.log2(coordinates.abs() + 1) / math.log2(8)


BYTES_PER_INDEX = 8  # one for each pair of tokens


def check_memory(windows: Sequence[Size], pair: int = BYTES_PER_INDEX) -> None:
    """Raises :class:`UsageError` where ``pair`` bytes for each pair of tokens of all ``windows`` are more than is left here.

    Asked before anything is allocated: pairs grow with the fourth power of a window's side, and a system that is asked for too much
    crawls, or ends the process without a word.
    """
    needed, left = sum(pair * (height * width) ** 2 for height, width in windows), available_memory()
    if left is not None and needed > left:
        height, width = max(windows, key=math.prod)
        raise UsageError(
            f"Windows of {height} x {width} patches: tables of all their pairs take {needed / 1e9:,.1f} GB of memory, and "
            f"{left / 1e9:,.1f} are left. Mend: a smaller window"
        )


def _room_for_index(window: Size, device: torch.device) -> Tensor:
    tokens = window[0] * window[1]
    return torch.empty(tokens, tokens, dtype=torch.int64, device=device)


def _recompute(bias: TableBias | MlpBias, _: object) -> None:
    """After weights were loaded: a network made on the meta device may have had no values until then."""
    bias.recompute()


class TableBias(nn.Module):
    """One learned value per head and relative offset (Swin, equation 4)."""

    index: Tensor

    def __init__(self, window: Size, heads: int) -> None:
        super().__init__()
        self.window = window
        self.table = nn.Parameter(torch.empty((2 * window[0] - 1) * (2 * window[1] - 1), heads))
        self.register_buffer("index", _room_for_index(window, self.table.device), persistent=False)
        self.register_load_state_dict_post_hook(_recompute)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise the table and recompute the index, which a module moved off the meta device has lost."""
        nn.init.trunc_normal_(self.table, std=0.02)
        self.recompute()

    def recompute(self) -> None:
        if not self.table.is_meta:
            self.index = relative_position_index(self.window).to(self.table.device)

    def forward(self) -> Tensor:
        return F.embedding(self.index, self.table).permute(2, 0, 1)  # whose backward pass is faster than that of indexing


class MlpBias(nn.Module):
    """Log-spaced continuous position bias: a small network from offsets to biases (V2, section 3.3).

    ``pretrained_window`` is the one at which the network was trained, by default the present one.
    """

    index: Tensor
    coordinates: Tensor

    def __init__(self, window: Size, heads: int, pretrained_window: Size | None = None) -> None:
        super().__init__()
        self.window = window
        self.pretrained_window = pretrained_window or window
        self.mlp = nn.Sequential(nn.Linear(2, CPB_HIDDEN), nn.ReLU(), nn.Linear(CPB_HIDDEN, heads, bias=False))
        place = next(self.mlp.parameters()).device
        offsets = (2 * window[0] - 1) * (2 * window[1] - 1)
        self.register_buffer("index", _room_for_index(window, place), persistent=False)
        self.register_buffer("coordinates", torch.empty(offsets, 2, device=place), persistent=False)
        self.register_load_state_dict_post_hook(_recompute)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Recompute index and coordinates, which a module moved off the meta device has lost."""
        self.recompute()

    def recompute(self) -> None:
        weight = next(self.mlp.parameters())
        if not weight.is_meta:
            self.index = relative_position_index(self.window).to(weight.device)
            self.coordinates = log_spaced_coordinates(self.window, self.pretrained_window).to(
                weight.device, self.coordinates.dtype
            )

    def values(self) -> Tensor:
        """The bias at every offset of the window, ((2h-1)(2w-1), heads): 16 sigmoid(MLP(coordinates)), bounded as in the published code."""
        return 16 * torch.sigmoid(self.mlp(self.coordinates))

    def forward(self) -> Tensor:
        return F.embedding(self.index, self.values()).permute(2, 0, 1)
