"""One forward pass, watched: what goes into and comes out of every part, by hooks that are gone afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ...model.windows import WindowGrid


@dataclass(frozen=True, eq=False)
class Watched:
    """One block: its map before and after (1, H, W, C), and each part's (input, output)."""

    stage: int
    index: int
    block: Any
    grid: WindowGrid
    before: Tensor = field(repr=False)
    after: Tensor = field(repr=False)
    parts: dict[str, tuple[Tensor, Tensor]] = field(repr=False)

    @property
    def shifted(self) -> bool:
        return any(self.grid.shift)


@dataclass(frozen=True, eq=False)
class Trace:
    """``embedded`` is the token map; ``merges`` the (input, output) of each patch merging, from the second stage on."""

    embedded: Tensor = field(repr=False)
    blocks: list[Watched] = field(repr=False)
    merges: list[tuple[Tensor, Tensor]] = field(repr=False)
    logits: Tensor = field(repr=False)

    def stage(self, index: int) -> list[Watched]:
        return [one for one in self.blocks if one.stage == index]

    @property
    def maps(self) -> list[Tensor]:
        """Output of each stage, (1, H, W, C)."""
        return [self.stage(index)[-1].after for index in range(self.blocks[-1].stage + 1)]


PARTS = ("norm1", "attention", "norm2", "mlp")


@torch.inference_mode()
def trace(model: Any, image: Tensor) -> Trace:
    """Run ``image`` (1, C, H, W) through ``model``."""
    backbone = model.backbone
    with recording(list(backbone.modules())) as seen:
        logits = model(image)
    blocks = []
    for stage, part in enumerate(backbone.stages):
        for index, block in enumerate(part.blocks):
            (before, grid), after = seen[block]
            parts = {name: (seen[getattr(block, name)][0][0], seen[getattr(block, name)][1]) for name in PARTS}
            blocks.append(Watched(stage, index, block, grid, before, after, parts))
    merges = [(seen[part.merge][0][0], seen[part.merge][1]) for part in list(backbone.stages)[1:]]
    return Trace(seen[backbone.patch_embed][1], blocks, merges, logits)


@contextmanager
def recording(modules: list[nn.Module]) -> Iterator[dict[nn.Module, tuple[tuple[Any, ...], Any]]]:
    """While this lasts, note the arguments and the answer of each of ``modules``; a module called twice leaves its last."""
    seen: dict[nn.Module, tuple[tuple[Any, ...], Any]] = {}

    def note(module: nn.Module, arguments: tuple[Any, ...], answer: Any) -> None:
        seen[module] = (arguments, answer)

    handles = [module.register_forward_hook(note) for module in dict.fromkeys(modules)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
