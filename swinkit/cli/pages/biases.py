"""The bias atlas on the page of ``explain``: what each head adds for every offset, whatever the picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from ...data.rgb import tiled
from ...explain.atlas import BlockBias, atlas
from ...explain.explanation import Explainer
from ...explain.paint import diverging
from ...report.explained import Figure, Group

Keep: TypeAlias = Callable[[str, np.ndarray], None]

ATLAS = (
    "What each head adds to its logits for every offset between two patches, query minus key, the same for every picture: the middle "
    "is a patch and itself. Blue is less than the head's mean, orange more."
)
ACROSS = 8  # heads in a row


def biases(explainer: Explainer, window: int | None, resizing: str, keep: Keep) -> list[Group]:
    """The bias atlas, and the same at another ``window``, if there is one; ``keep`` writes a named picture."""
    model = explainer.model
    groups = [Group("Bias atlas", ATLAS, bias_figures(atlas(model), keep))]
    if window:
        resized = atlas(model, window, resizing)
        how = f"tables resized by {resizing}" if explainer.config.version == 1 else "log-CPB asked at new offsets"
        heading = f"Bias atlas, windows of {window} x {window}"
        groups.append(Group(heading, f"The same heads after a change of window: {how}.", bias_figures(resized, keep)))
    return groups


def bias_figures(found: Sequence[BlockBias], keep: Keep) -> list[Figure]:
    """One figure a block: the surfaces of its heads side by side, blue for less, orange for more attention."""
    figures = []
    for block in found:
        centred = block.surface - block.surface.mean(dim=(1, 2), keepdim=True)
        reach = float(centred.abs().max())
        scale = max(1, 150 // block.surface.shape[1])
        tiles = [np.kron(diverging(head.numpy(), reach), np.ones((scale, scale, 1), np.uint8)) for head in centred]
        picture = tiled(tiles, ACROSS)
        name = f"stage {block.stage + 1}, block {block.block + 1}, window {block.window[0]} x {block.window[1]}"
        keep(f"bias-stage{block.stage + 1}-block{block.block + 1}-window{block.window[0]}", picture)
        low, high = float(block.entropy.min()), float(block.entropy.max())
        told = (
            f"Heads from left to right. By the bias alone: entropy {low:.1f} to {high:.1f} bits (even attention has "
            f"{np.log2(block.window[0] * block.window[1]):.1f}), reach {float(block.reach.min()):.1f} to {float(block.reach.max()):.1f} tokens. "
            f"Full colour is {reach:.2f} from the head's mean."
        )
        figures.append(Figure(picture, name, told))
    return figures
