"""Chapters on how a picture becomes tokens and a hierarchy: ViT's patches, patch partition, embedding, stages, patch merging."""

from __future__ import annotations

from math import ceil
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...model.windows import counts_of, pad_to
from ...study.vit import VITS, count_vit_macs
from ...variants import find
from ..scores import likeliest
from .costs import VIT
from .packing import pack
from .subject import Subject
from .tracing import Trace

CHANNELS = 12  # of the embedding that the page shows


def vit() -> dict[str, Any]:
    """How the tokens and the pairs of tokens of ViT-S/16 grow with the side of a square picture."""
    rows, config = [], VITS[VIT]
    for side in (224, 448, 896):
        tokens, macs = config.tokens((side, side)), count_vit_macs(config, (side, side))
        share = macs.attention / macs.total
        rows.append({"side": side, "tokens": tokens, "pairs": tokens**2, "macs": macs.total, "share": share})
    return {
        "rows": rows, "patch": config.patch, "width": config.width, "grid": 224 // config.patch, "values": 3 * config.patch**2,
        "growth": rows[1]["pairs"] / rows[0]["pairs"],
    }  # fmt: skip


def partition(subject: Subject, traced: Trace) -> dict[str, Any]:
    """Patches of the model's input: their number, and what one holds."""
    config = subject.model.config
    rows, columns = traced.embedded.shape[1:3]
    published = find("swin_t").config
    grid = published.grid(0)
    return {
        "patch": config.patch_size, "rows": rows, "columns": columns, "channels": config.in_channels,
        "values": config.in_channels * config.patch_size**2, "size": list(subject.size),
        "published": {
            "patch": published.patch_size, "rows": grid[0], "columns": grid[1], "values": 3 * published.patch_size**2,
            "size": published.image_size[0],
        },
    }  # fmt: skip


def embedding(subject: Subject, traced: Trace) -> dict[str, Any]:
    """The linear embedding as the strided convolution of the model and as one matrix on each patch: the same numbers."""
    embed = subject.model.backbone.patch_embed
    side = subject.model.config.patch_size
    with torch.inference_mode():
        images = pad_to(subject.image.permute(0, 2, 3, 1), counts_of(subject.size, (side, side)), (side, side))
        patches = F.unfold(images.permute(0, 3, 1, 2), side, stride=side)[0].T
        as_matrix = patches @ embed.proj.weight.flatten(1).T + embed.proj.bias
        tokens = embed.norm(as_matrix).view(traced.embedded.shape)
        if embed.position is not None:
            tokens = tokens + embed.position_for(tokens)
        difference = float((tokens - traced.embedded).abs().max())
    lively = _liveliest(traced.embedded, CHANNELS)
    return {
        "width": tokens.shape[-1], "weights": embed.proj.weight.numel() + embed.proj.bias.numel(), "difference": difference,
        "shown": lively.tolist(), "maps": pack(traced.embedded[0].movedim(-1, 0)[lively]),
    }  # fmt: skip


def hierarchy(subject: Subject, traced: Trace) -> dict[str, Any]:
    """Each stage's map: its size, and how strong its tokens are (mean of the absolute channels)."""
    config = subject.model.config
    stages: list[dict[str, Any]] = []
    for index, x in enumerate(traced.maps):
        rows, columns, width = x.shape[1:]
        window = config.stage_window(index)
        stages.append(
            {
                "rows": rows, "columns": columns, "width": width, "blocks": config.depths[index], "heads": config.num_heads[index],
                "stride": config.strides[index], "window": list(window), "strength": pack(x[0].abs().mean(-1)),
            }
        )  # fmt: skip
    answer: dict[str, Any] = {"stages": stages, "depths": list(config.depths)}
    if subject.trained and subject.model.classes:
        first = likeliest(subject.model, traced.logits, 3)
        answer["top"] = [{"label": target.name, "score": float(target.share(traced.logits))} for target in first]
    return answer


def merging(subject: Subject, traced: Trace) -> dict[str, Any]:
    """The second stage's merging taken apart: four sub-tensors, their concatenation, norm and reduction."""
    merge = subject.model.backbone.stages[1].merge
    before, after = traced.merges[0]
    rows, columns, width = before.shape[1:]
    parts = quarters(before)
    with torch.inference_mode():
        joined = torch.cat(parts, dim=-1)
        by_hand = (
            merge.reduction(merge.norm(joined)) if subject.model.config.version == 1 else merge.norm(merge.reduction(joined))
        )
    channel = int(_liveliest(before, 1)[0])
    return {
        "rows": rows, "columns": columns, "width": width, "out": list(after.shape[1:]), "joined": joined.shape[-1],
        "odd": bool(rows % 2 or columns % 2), "padded": [2 * ceil(rows / 2), 2 * ceil(columns / 2)],
        "difference": float((by_hand - after).abs().max()), "weights": merge.reduction.weight.numel(), "channel": channel,
        "map": pack(before[0, ..., channel]), "norm_width": 4 * width if subject.model.config.version == 1 else 2 * width,
        "neighbours": [{"n": n, "joined": n * n * width, "reduced": 2 * width if n == 2 else None} for n in (2, 3, 4)],
    }  # fmt: skip


def quarters(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x0 to x3 of a map (B, H, W, C): (even, even), (odd, even), (even, odd), (odd, odd) rows and columns; odd sides are padded."""
    x = pad_to(x, counts_of(x.shape[1:3], (2, 2)), (2, 2))
    return x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]


def _liveliest(x: Tensor, count: int) -> Tensor:
    """The channels of (1, H, W, C) that vary most over the map, in their own order."""
    spread = x[0].flatten(0, 1).var(0)
    return spread.topk(min(count, spread.numel())).indices.sort().values
