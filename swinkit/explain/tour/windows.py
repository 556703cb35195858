"""Chapters on windows: the shift, its two ways of being computed, its mask, and what a patch attends to."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ...model.windows import WindowGrid, shift_regions, token_places
from ...study.macs import msa
from ..seeing import softmax_rows
from .packing import pack_rows
from .padded import PaddedGrid
from .subject import Subject
from .tracing import Trace, Watched

BUDGET = 480_000  # bytes of attention weights per block that the page carries


def shift(subject: Subject, traced: Trace) -> dict[str, Any]:
    """The first stage's windows: which tokens each holds in a regular block, and shifted in the padded and the cyclic way."""
    regular, shifted = (one.grid for one in traced.stage(0)[:2])
    x = traced.embedded
    rows, columns = x.shape[1:3]
    padded = PaddedGrid.of(shifted, x)
    heads, width = subject.model.config.num_heads[0], x.shape[-1]
    return {
        "rows": rows, "columns": columns, "window": list(shifted.window), "shift": list(shifted.shift), "heads": heads,
        "moves": max(shifted.shift) > 0,
        "regular": _ways(regular, x), "cyclic": _ways(shifted, x), "padded": _ways(padded, x), "regions": regions(shifted),
        "masked": masked_share(shifted), "difference": agreement(traced.stage(0)[1]),
        "macs": {
            name: math.prod(grid.counts) * msa(*grid.window, width) for name, grid in (("cyclic", shifted), ("padded", padded))
        },
    }  # fmt: skip


def _ways(grid: Any, x: Tensor) -> dict[str, Any]:
    """Number of windows, and for each of them the map position of each of its tokens; -1 where there is only filling."""
    return {"counts": list(grid.counts), "windows": token_places(grid, (x.shape[1], x.shape[2])).tolist()}


def regions(grid: WindowGrid) -> list[list[int]]:
    """For each window the region of each of its tokens after the roll, 0 to 3: bit 1 wrapped in rows, bit 0 in columns."""
    return shift_regions(grid.window, grid.counts, grid.shift, "cpu").tolist()


def masked_share(grid: WindowGrid) -> float:
    """Share of the pairs within windows that the shift mask forbids."""
    return 0.0 if grid.mask is None else float((grid.mask < 0).float().mean())


@torch.inference_mode()
def agreement(watched: Watched) -> float:
    """Largest difference between the padded way and the model's cyclic one, for this block and this picture."""
    x = watched.parts["attention"][0]
    return float((watched.block.attention(x, PaddedGrid.of(watched.grid, x)) - watched.parts["attention"][1]).abs().max())


def attention_rows(watched: Watched) -> Tensor:
    """Softmax rows of a block, (nW, heads, N, N)."""
    return softmax_rows(watched.block.attention, watched.parts["attention"][0], watched.grid)[0]


def attention(traced: Trace) -> dict[str, Any]:
    """What every token attends to in the first pair of blocks of each stage, heads as many as the page can carry."""
    layers = []
    for one in (block for block in traced.blocks if block.index < 2):
        rows = attention_rows(one)
        count, heads, tokens, _ = rows.shape
        carried = max(1, min(heads, BUDGET // (count * tokens * tokens)))
        if count * tokens * tokens > 2 * BUDGET:
            continue
        size = one.before.shape[1], one.before.shape[2]
        layers.append(
            {
                "stage": one.stage, "block": one.index, "shifted": one.shifted, "size": list(size), "window": list(one.grid.window),
                "heads": carried, "all_heads": heads, "windows": token_places(one.grid, size).tolist(), "regions": regions(one.grid),
                "rows": pack_rows(rows[:, :carried]),
            }
        )  # fmt: skip
    return {"layers": layers}
