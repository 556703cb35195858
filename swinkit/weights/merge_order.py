"""Has somebody swapped the merge order? A state dict cannot say so, but training leaves a trace.

The four neighbours that merge carry the same channels, so trained weights treat the four copies of a channel alike: in the right
order their gains (norm of version 1) and their columns (reduction) resemble each other, in the other order strangers meet.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .formats.table import MERGE, UNFOLD
from .recognise import Recognised

MARGIN = 0.2  # difference of mean correlations that speaks for the other order; random weights stay below 0.05


def swapped_merges(state: Mapping[str, Tensor], recognised: Recognised) -> str | None:
    """A sentence naming the merges whose four copies of a channel resemble each other only in the other library's order."""
    evidence = {}
    for stage in range(1, len(recognised.architecture["depths"])):
        for leaf in ("norm.weight", "reduction.weight"):
            ours = MERGE.replace("{i}", str(stage)) + leaf
            name = recognised.dialect.name_of(ours, recognised.version, recognised.prefix)
            tensor = state.get(name) if name else None
            if name and tensor is not None and tensor.shape[-1] % 4 == 0 and tensor.shape[-1] >= 128:
                unfold = any(row.transform is UNFOLD for row in recognised.dialect.rows[recognised.version])
                if leaf == "norm.weight" and recognised.version == 2:
                    continue
                blocks, channels = likeness(tensor)
                if (blocks - channels if unfold else channels - blocks) > MARGIN:
                    evidence[name] = (blocks, channels)
    if not evidence:
        return None
    first, (blocks, channels) = next(iter(evidence.items()))
    return f"{first} correlates {blocks:.2f} block by block, {channels:.2f} channel by channel ({len(evidence)} tensors so)"


def likeness(tensor: Tensor) -> tuple[float, float]:
    """Mean correlation between the four copies of a channel: if copies lie in blocks (Microsoft), if channel by channel (nn.Unfold)."""
    values = tensor.detach().float().reshape(-1, tensor.shape[-1])
    values = values - (values.mean() if values.shape[0] == 1 else 0)
    blocks = values.unflatten(1, (4, -1)).transpose(0, 1)
    channels = values.unflatten(1, (-1, 4)).permute(2, 0, 1)
    return _correlation(blocks), _correlation(channels)


def _correlation(copies: Tensor) -> float:
    """Mean cosine between the four (rows, channels) matrices of ``copies``."""
    flat = torch.nn.functional.normalize(copies.flatten(1), dim=1)
    return float(((flat @ flat.T).sum() - 4) / 12)
