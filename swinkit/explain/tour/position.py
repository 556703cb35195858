"""The chapter on relative position bias: its table, what a query adds to each key, and what is left without it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...model.windows import pad_to
from ..atlas import atlas
from .packing import pack
from .subject import Subject
from .tracing import Trace, Watched


@torch.inference_mode()
def bias(subject: Subject, traced: Trace) -> dict[str, Any]:
    """Every head's table, (2h-1) x (2w-1), of the first pair of blocks of each stage; ``ape`` says whether the model has absolute positions."""
    layers = [
        {
            "stage": one.stage,
            "block": one.block,
            "shifted": block.shifted,
            "window": list(one.window),
            "tables": pack(one.surface),
        }
        for one, block in zip(atlas(subject.model), traced.blocks, strict=True)
        if one.block < 2
    ]
    height, width = traced.blocks[0].grid.window
    shuffled = permuted(traced.stage(0)[0])
    return {
        "layers": layers, "window": [height, width], "rows": (2 * height - 1) * (2 * width - 1), "pairs": (height * width) ** 2,
        "ape": subject.model.config.ape, "version": subject.model.config.version, **shuffled,
    }  # fmt: skip


def permuted(watched: Watched) -> dict[str, float]:
    """Shuffle the tokens inside each window: how far are the shuffled answers from the answers shuffled, with and without bias.

    Without a position, attention treats its keys as a set, and the two are equal.
    """
    attention, grid = watched.block.attention, watched.grid
    x = pad_to(watched.parts["attention"][0], grid.counts, grid.window)  # what fills the last windows is shuffled with the rest
    order = torch.randperm(grid.window[0] * grid.window[1], generator=torch.Generator().manual_seed(0))

    def shuffle(one: Tensor) -> Tensor:
        return grid.join(grid.split(one)[:, :, order], (one.shape[1], one.shape[2]))

    def distance() -> float:
        return float((attention(shuffle(x), grid) - shuffle(attention(x, grid))).abs().max())

    with_bias = distance()
    kept = attention.bias
    attention.bias = _Nothing(kept)
    try:
        without = distance()
    finally:
        attention.bias = kept
    return {"with_bias": with_bias, "without_bias": without}


class _Nothing(nn.Module):
    """A position bias of zeros in the shape of another."""

    def __init__(self, like: nn.Module) -> None:
        super().__init__()
        self.zeros = torch.zeros_like(like())

    def forward(self) -> Tensor:
        return self.zeros
