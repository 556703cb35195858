"""Has somebody swapped the merge order? A state dict cannot say so, but training leaves a trace.

The four neighbours that merge carry the same channels, so trained weights treat the four copies of a channel alike: in the right
order their gains (norm of version 1) and their columns (reduction) resemble each other more than those of different channels do;
in the other order strangers meet. How much more is counted in standard deviations of what strangers give, so that untrained
weights, of any size, say nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from torch import Tensor

from .formats.table import MERGE, UNFOLD
from .recognise import Recognised

SURE = 4.0  # standard deviations of likeness in the other order, over all merges; chance reaches it once in 30,000 files
LEAD = 3.0  # and as many more than in the right order


def swapped_merges(state: Mapping[str, Tensor], recognised: Recognised) -> str | None:
    """A sentence when the four copies of a channel resemble each other only in the other library's order."""
    unfold = any(row.transform is UNFOLD for row in recognised.dialect.rows[recognised.version])
    scores = [likeness(tensor) for tensor in _merges(state, recognised)]
    if not scores:
        return None
    blocks, channels = (math.fsum(column) / math.sqrt(len(scores)) for column in zip(*scores, strict=True))
    right, other = (channels, blocks) if unfold else (blocks, channels)
    if other < SURE or other - right < LEAD:
        return None
    return (
        f"over {len(scores)} tensors the four copies of a channel are alike by {blocks:.1f} standard deviations block by block, "
        f"{channels:.1f} channel by channel"
    )


def likeness(tensor: Tensor) -> tuple[float, float]:
    """How alike the four copies of a channel are, in standard deviations: if copies lie in blocks (Microsoft), if channel by
    channel (nn.Unfold).

    Each of the four copies has a level of its own (at a padded border one of them is often zero), which is taken off under both
    readings first: what is left of one would look like likeness in the other.
    """
    values = tensor.detach().float().reshape(-1, tensor.shape[-1])
    values = values - values.mean()
    for _ in range(2):  # the two readings' levels overlap a little, so once is not enough
        inside = values.unflatten(1, (4, -1))
        values = (inside - inside.mean((0, 2), keepdim=True)).flatten(1)
        inside = values.unflatten(1, (-1, 4))
        values = (inside - inside.mean((0, 1), keepdim=True)).flatten(1)
    return _agreement(values.unflatten(1, (4, -1)).transpose(0, 1)), _agreement(values.unflatten(1, (-1, 4)).permute(2, 0, 1))


def _merges(state: Mapping[str, Tensor], recognised: Recognised) -> Iterator[Tensor]:
    leaves = ("norm.weight", "reduction.weight") if recognised.version == 1 else ("reduction.weight",)
    for stage in range(1, len(recognised.architecture["depths"])):
        for leaf in leaves:
            ours = MERGE.replace("{i}", str(stage)) + leaf
            name = recognised.dialect.name_of(ours, recognised.version, recognised.prefix)
            tensor = state.get(name) if name else None
            if tensor is not None and tensor.ndim and tensor.numel() and tensor.shape[-1] % 4 == 0:
                yield tensor


def _agreement(copies: Tensor) -> float:
    """Products of equal channels of ``copies`` (4, rows, channels), against those of different ones, over the six pairs."""
    total = 0.0
    for first in range(4):
        for second in range(first):
            products = copies[first].T @ copies[second]
            spread = float(products.std()) / math.sqrt(products.shape[0])
            total += float(products.diagonal().mean() - products.mean()) / spread if spread > 0 else 0.0
    return total / math.sqrt(6)
